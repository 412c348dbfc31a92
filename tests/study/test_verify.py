"""Other tools' figures stand beside archscope's, and every difference is proved or fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archscope.errors import ArchscopeError
from archscope.records import Check, Cost, Factor, Layer, Product, Work
from archscope.study import verify as verification
from archscope.study.peers import PEERS, Peer, own_figures
from archscope.study.reasons import Habit, Reason, attention_products, explained
from archscope.study.verify import Figure, Verification, dumps, loads, verify
from archscope.study.verify_tables import overview_report, verify_report

TORCH = tuple(peer for peer in PEERS if peer.package == "torch")
FVCORE = tuple(peer for peer in PEERS if peer.package == "fvcore")

needs_fvcore = pytest.mark.skipif(not FVCORE[0].installed, reason="fvcore is not installed")


def figure(found: Verification, tool: str, quantity: str = "macs") -> Figure:
    return next(f for f in found.figures if f.source.startswith(tool) and f.quantity == quantity)


def test_the_counter_of_torch_agrees_forward_and_ignores_groups_backward() -> None:
    """(forward + backward) / forward is g + 2 in place of 3 for a grouped convolution."""
    groups = 4
    network = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=groups, bias=False))
    found = verify(network, input="8x6x6", peers=TORCH)
    assert figure(found, "torch").agrees
    training = figure(found, "torch", "macs_training")
    grouped = 8 * 4 * 4 * (8 // groups) * 9
    assert training.theirs is not None
    assert training.theirs - training.ours == (groups - 1) * grouped
    assert training.reasons == ("ignores groups in the weight gradient",)
    assert found.passed


@needs_fvcore
def test_fvcore_counts_two_operations_per_batch_norm_element() -> None:
    """Two for each normalised element of ResNet-18, and the 512·7·7 that are pooled."""
    found = verify("resnet18", peers=FVCORE)
    theirs = figure(found, "fvcore")
    elements = 64 * 112**2 + 4 * 64 * 56**2 + 5 * 128 * 28**2 + 5 * 256 * 14**2 + 5 * 512 * 7**2
    assert theirs.theirs == theirs.ours + 2 * elements + 512 * 7 * 7
    assert len(theirs.partings) == 20 + 1
    assert set(theirs.reasons) == {
        "counts two operations per BatchNorm element",
        "counts adaptive average pooling",
    }
    published = [f for f in found.figures if "metadata" in f.source]
    assert [f.quantity for f in published] == ["params", "macs"]
    assert all(f.agrees for f in published)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.norm = nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0] + self.norm(x)


@needs_fvcore
def test_fvcore_misses_attention() -> None:
    """Two products of heads·L·L·(E/heads) each: 2·7·7·12; five per element of LayerNorm."""
    found = verify(Attention(), input="7x12", peers=FVCORE)
    theirs = figure(found, "fvcore")
    assert theirs.theirs == theirs.ours - 2 * 7 * 7 * 12 + 5 * 7 * 12
    assert {p.reason for p in theirs.partings} == {
        "misses attention",
        "counts five operations per element of other normalisations",
    }


@needs_fvcore
def test_fvcore_skips_string_padding() -> None:
    found = verify(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")), input="3x8x8", peers=FVCORE)
    theirs = figure(found, "fvcore")
    assert (theirs.theirs, theirs.reasons) == (0, ("skips string padding",))


@needs_fvcore
def test_pooling_by_a_function_is_found_in_its_container() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.adaptive_avg_pool2d(self.conv(x).relu(), 1)

    theirs = figure(verify(Pooled(), input="3x8x8", peers=FVCORE), "fvcore")
    assert theirs.theirs == theirs.ours + 4 * 6 * 6
    assert theirs.reasons == ("counts adaptive average pooling",)


def saying(macs: int, own: dict[str, int] | None = None, tool: str = "fvcore") -> Peer:
    """A tool that says a number."""
    return Peer(tool, "torch", lambda network, arguments: (macs, own))


def test_a_difference_without_a_reason_fails() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    right = verify(network, input="4", peers=[saying(12, {"0": 12})])
    by_layer = verify(network, input="4", peers=[saying(18, {"0": 12, "1": 6})])
    wrong_layer = verify(network, input="4", peers=[saying(18, {"0": 18})])
    nearly = verify(network, input="4", peers=[saying(17, {"0": 12, "1": 5})])
    partly_told = verify(network, input="4", peers=[saying(19, {"0": 12, "1": 6})])
    unknown_tool = verify(network, input="4", peers=[saying(18, None, "sometool")])
    passed = [v.passed for v in (right, by_layer, wrong_layer, nearly, partly_told, unknown_tool)]
    assert passed == [True, True, False, False, False, False]
    assert nearly.figures[0].verdict == verification.UNKNOWN
    assert nearly.figures[0].check == Check("MACs", 17, 12, 0.0, "fvcore", "")


def test_a_tool_that_fails_says_nothing_against_the_count() -> None:
    def broken(network: nn.Module, arguments: object) -> tuple[int, None]:
        raise ValueError("no such\noperator")

    found = verify(nn.Linear(4, 3), input="4", peers=[Peer("some", "torch", broken)])
    assert found.passed
    assert found.figures[0].verdict == "fails: ValueError: no such"


def test_tools_that_need_weights_get_them() -> None:
    seen: list[bool] = []

    def look(network: nn.Module, arguments: object) -> tuple[int, None]:
        seen.append(next(network.parameters()).is_meta)
        return 12, None

    peers = [Peer("a", "torch", look), Peer("b", "torch", look, weights=True)]
    assert verify(nn.Linear(4, 3), input="4", peers=peers).passed
    assert seen == [True, False]


def test_what_is_not_installed_is_left_out() -> None:
    absent = Peer("none", "archscope_has_no_such_package", lambda network, arguments: (0, None))
    assert verify(nn.Linear(4, 3), input="4", peers=[absent]).figures == ()


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    verify(network, input="3x8x8")
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_papers_are_read_to_their_last_digit() -> None:
    found = verify("resnet50_v1", peers=[])
    macs = figure(found, "paper")
    assert (macs.theirs, macs.tolerance, macs.agrees) == (3_800_000_000, 1e8, True)


def test_a_saved_record_cannot_be_verified(tmp_path: object) -> None:
    from archscope.study.analyse import analyse

    with pytest.raises(ArchscopeError, match="is a record"):
        verify(analyse("lenet"))


# The arithmetic of reasons

NORM = Layer("n", "Norm", output_shapes=((2, 3),), forward=Work(elementwise=6, operators=1))
ONE = Habit("counts one", lambda layer: 6)
TWO = Habit("counts two", lambda layer: 12)


@pytest.mark.parametrize(
    ("difference", "sentences"),
    [(6, ["counts one"]), (12, ["counts two"]), (18, ["counts one", "counts two"]), (7, None)],
)
def test_the_fewest_habits_that_sum_exactly(difference: int, sentences: list[str] | None) -> None:
    found = explained(difference, [NORM], [ONE, TWO])
    assert (None if found is None else [reason.sentence for reason in found]) == sentences


def test_rounding_is_bounded() -> None:
    rounded = Habit("rounds", rounding=lambda layer: 3)
    assert explained(15, [NORM], [TWO, rounded]) == (Reason("counts two", 12), Reason("rounds", 3))
    assert explained(16, [NORM], [TWO, rounded]) is None


def batched(*values: int) -> Product:
    return Product(tuple(map(Factor, ("B", "rows", "D_in", "D_out"), values)))


def test_attention_is_two_batched_products_of_which_one_feeds_the_other() -> None:
    first, second, other = batched(3, 7, 4, 9), batched(3, 7, 9, 4), batched(3, 7, 5, 5)
    layer = Layer("a", "A", forward=Work(Cost((other, first, second))))
    assert attention_products(layer) == [first, second]


def test_own_figures_leave_the_children_out() -> None:
    assert own_figures({"": 10, "a": 7, "a.b.c": 3, "d": 1}) == {"": 2, "a": 4, "a.b.c": 3, "d": 1}


# Tables and JSON


@pytest.fixture(scope="module")
def found() -> Verification:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    return verify(network, input="4", peers=[saying(24, {"0": 12, "1": 6, "2": 6}), *TORCH])


def test_layers_that_part_for_one_reason_share_a_row(found: Verification) -> None:
    totals, layers = verify_report([found]).tables
    assert totals.column("difference") == [12, 0, 0]
    assert all(figure.agrees for figure in found.figures[1:])
    (row,) = layers.records()
    assert (row["count"], row["difference"]) == (2, 12)
    data = verify_report([found]).data
    assert data is not None and data.column("layer") == [None, "1", "2", None, None]


def test_the_overview_has_a_row_for_every_network(found: Verification) -> None:
    (table,) = overview_report([found], {"broken": "cannot be built"}).tables
    assert table.column("model") == ["Sequential", "broken"]
    assert "+100.00%" in str(table.rows[0].cells) and "1 not" in table.notes[0]


def test_figures_survive_json(found: Verification) -> None:
    assert loads(dumps([found], {"broken": "why"})) == ([found], {"broken": "why"})
