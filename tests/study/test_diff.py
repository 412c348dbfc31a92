"""Two versions of a network are compared as a reviewer would."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from torch import Tensor, nn

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.diff import Change, changes, counted
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.quantities import MACS, PARAMS
from archscope.records import Analysis
from archscope.render import markdown
from archscope.study.diff import diff_report
from archscope.table import Report


def stack(*layers: nn.Module) -> Analysis:
    return analyse(target(nn.Sequential(*layers), input="4x8x8"))


def conv(out: int = 4, **options: int) -> nn.Module:
    return nn.Conv2d(4, out, 3, padding=1, **options)


def told(old: Analysis, new: Analysis) -> list[tuple[str, str]]:
    return [(c.status, c.name) for c in changes(old, new) if c.status != "same"]


def by_status(found: tuple[Change, ...]) -> Counter[str]:
    return Counter(change.status for change in found)


def test_nothing_changed() -> None:
    one = stack(conv(), nn.ReLU(), conv())
    assert told(one, one) == []
    report = diff_report(one, one)
    assert len(report.tables) == 1
    assert report.tables[0].notes == ("No total changed.",)


def text_of(report: Report) -> str:
    return "\n".join(markdown.markdown(table) for table in report.tables)


def test_changes_have_signs_and_the_sentence_small_letters() -> None:
    """A channel fewer is 4·9 weights and a bias, and 36 MACs at each of 64 places."""
    old, new = stack(conv(101)), stack(conv(100))
    report = diff_report(old, new)
    assert report.answer == "−37 parameters (−1.0 %) and −2.30 k MACs (−1.0 %); layers: 1 changed."
    assert text_of(report).count("−37") == 2 and "-37" not in text_of(report)
    assert "+37" in text_of(diff_report(new, old))
    huge = nn.Linear(8, 100_000)
    slightly = diff_report(
        stack(conv(), huge), stack(nn.Conv2d(4, 4, 3, padding=1, bias=False), huge)
    )
    assert slightly.answer.startswith("−4 parameters (under 0.1 %)")
    assert "-0.0" not in text_of(slightly) and "−0.0" not in text_of(slightly)


def test_an_inserted_layer_renames_those_behind_it() -> None:
    """Indices of a Sequential shift; the layers behind the new ones are still the same."""
    old = stack(conv(), nn.ReLU(), nn.BatchNorm2d(4), conv(8))
    new = stack(conv(), nn.ReLU(), nn.Tanh(), nn.BatchNorm2d(4), conv(8))
    assert told(old, new) == [("added", "2"), ("renamed", "2 → 3"), ("renamed", "3 → 4")]


def test_a_removed_layer() -> None:
    old = stack(conv(), nn.BatchNorm2d(4), conv(8))
    new = stack(conv(), conv(8))
    assert told(old, new) == [("removed", "1"), ("renamed", "2 → 1")]


def test_a_renamed_attribute_is_known_by_its_shape_and_place() -> None:
    class Net(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.first = conv()
            self.name = name
            setattr(self, name, conv(8))

        def forward(self, x):  # type: ignore[no-untyped-def]
            return getattr(self, self.name)(self.first(x))

    old, new = (analyse(target(Net(name), input="4x8x8")) for name in ("second", "expand"))
    assert told(old, new) == [("renamed", "second → expand")]


def test_a_changed_layer_tells_what_changed_and_by_how_much() -> None:
    old, new = stack(conv(), conv(8)), stack(conv(), conv(8, groups=2))
    (change,) = [c for c in changes(old, new) if c.status == "changed"]
    assert change.sentence == "groups 1 → 2"
    assert change.difference(PARAMS) == -(8 * 4 * 9) // 2
    assert change.difference(MACS) == -(8 * 8 * 8 * 4 * 9) // 2


def test_freezing_alone_is_a_change() -> None:
    old = analyse(target("lenet"), backward=True)
    new = analyse(target("lenet"), backward=True, train_only="fc*")
    found = [c for c in changes(old, new) if c.status == "changed"]
    assert {change.sentence.split()[0] for change in found} == {"trainable"}


def test_what_only_follows_a_new_shape_is_not_told_twice() -> None:
    old, new = (stack(conv(width), nn.ReLU()) for width in (4, 8))
    report = diff_report(old, new)
    assert [row.cells[1] for row in report.tables[1].rows] == ["0"]
    assert any("only follow the shapes around them (1)" in n for n in report.tables[1].notes)
    assert report.data is not None and report.data.column("status") == ["changed", "changed"]


def test_a_deeper_network_is_one_row() -> None:
    old, new = analyse(target("resnet50")), analyse(target("resnet101"))
    assert by_status(changes(old, new)) == {"same": 174, "added": 170}
    (row,) = diff_report(old, new).tables[1].rows
    # torchvision's published parameters: 44,549,160 and 25,557,032.
    assert row.cells[-2] == 44_549_160 - 25_557_032


@pytest.mark.parametrize(("old", "new"), [("vgg11", "vgg16"), ("resnet18", "resnet34")])
def test_the_changes_add_up_to_the_totals(old: str, new: str) -> None:
    a, b = analyse(target(old)), analyse(target(new))
    found = changes(a, b)
    assert sum(c.difference(PARAMS) for c in found) == (b.total.params - a.total.params)
    assert sum(c.difference(MACS) for c in found) == (b.total.macs - a.total.macs)
    assert [c.old for c in found if c.old] == list(a.layers)
    assert [c.new for c in found if c.new] == list(b.layers)


def test_different_inputs_are_said() -> None:
    report = diff_report(analyse(target("lenet")), analyse(target("lenet", batch=2)))
    assert any("different inputs: 1×1×28×28 and 2×1×28×28" in n for n in report.tables[1].notes)


def test_input_and_batch_are_for_what_is_named(tmp_path: Path) -> None:
    saved = tmp_path / "lenet.json"
    saved.write_text(archive.dumps(analyse(target("lenet", batch=2))))
    old, new = counted(str(saved), "lenet", batch=4)
    assert (old.input.batch, new.input.batch) == (2, 4)
    both = counted("vgg11", "vgg11", input="3x64x64", batch=2)
    assert [str(analysis.input) for analysis in both] == ["2×3×64×64"] * 2
    with pytest.raises(ArchscopeError, match="a saved record cannot be counted again"):
        counted(str(saved), str(saved), batch=4)


class Old(nn.Module):
    """Adds on its own account, so that it is a layer itself."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first, self.second = conv(width), conv(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class Renamed(Old):
    pass


class Other(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def test_a_network_of_another_class_name_is_renamed() -> None:
    old, new = (analyse(target(network, input="4x8x8")) for network in (Old(), Renamed()))
    assert told(old, new) == [("renamed", "Old → Renamed")]
    report = diff_report(old, new)
    assert "3 of 3 layers are unchanged, 1 of them under another name." in report.tables[1].notes


def test_where_all_names_change_all_layers_are_as_they_were() -> None:
    old, new = (analyse(target(network, input="4x8x8")) for network in (Old(), Other()))
    assert {status for status, _ in told(old, new)} == {"renamed"}
    notes = diff_report(old, new).tables[1].notes
    assert "3 of 3 layers are unchanged, 3 of them under another name." in notes


def test_a_network_of_another_class_name_and_shape_is_changed() -> None:
    old, new = (analyse(target(network, input="4x8x8")) for network in (Old(), Renamed(8)))
    assert {status for status, _ in told(old, new)} == {"changed"}
    assert ("changed", "Old → Renamed") in told(old, new)


def test_a_change_is_a_part_of_the_old_value() -> None:
    totals, *_ = diff_report(stack(conv(4)), stack(conv(8))).tables
    assert [column.title for column in totals.columns][-2:] == ["Change", "of old"]
    assert totals.column("relative_difference")[0] == 1.0  # twice the filters
