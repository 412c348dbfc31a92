"""The tree re-adds, folds equal blocks, and says what it left out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.parameters import parameter
from archscope.records import Analysis
from archscope.study.summary import COLUMNS, SORTABLE, layers_table, summary_report
from archscope.table import Row, Table
from archscope.wording import OWN_WORK
from tests.networks import SharedConvolution

ADDITIVE = ("params", "macs", "macs_backward", "elementwise", "bytes_moved", "activation_bytes")


@pytest.fixture(scope="module")
def resnet() -> Analysis:
    return analyse(target("resnet50"), backward=True)


def table(analysis: Analysis, **options: object) -> Table:
    return summary_report(analysis, **options).tables[0]  # type: ignore[arg-type]


def leaf_sum(rows: tuple[Row, ...], index: int) -> int:
    """Sum over the rows that are not subtotals."""
    return sum(
        row.cells[index]  # type: ignore[misc]
        for row in rows
        if row.kind == "row"
    )


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, None])
@pytest.mark.parametrize("unfold", [False, True])
def test_totals_re_add_to_the_rows_at_every_depth(
    resnet: Analysis, depth: int | None, unfold: bool
) -> None:
    tree = table(resnet, depth=depth, unfold=unfold, columns=ADDITIVE)
    for index, key in enumerate(ADDITIVE, start=1):
        total = tree.rows[-1].cells[index]
        assert tree.rows[-1].kind == "total"
        assert leaf_sum(tree.rows[:-1], index) == total, key


def test_every_subtotal_is_the_sum_of_its_rows(resnet: Analysis) -> None:
    rows = table(resnet, unfold=True, columns=["macs"]).rows[:-1]
    for position, row in enumerate(rows):
        if row.kind != "group":
            continue
        below = []
        for later in rows[position + 1 :]:
            if later.depth <= row.depth:
                break
            if later.depth == row.depth + 1:
                below.append(later.cells[1])
        assert row.cells[1] == sum(below)  # type: ignore[arg-type]


def names(tree: Table) -> list[object]:
    return tree.column("name")


def test_equal_blocks_fold_into_one_row_that_holds_their_sum(resnet: Analysis) -> None:
    folded = table(resnet, depth=2, columns=["params"])
    assert "1 … 5 ×5" in names(folded)
    single = resnet.total.params
    position = names(folded).index("1 … 5 ×5")
    block = sum(layer.params for layer in resnet.layers if layer.name.startswith("layer3.1."))
    assert folded.rows[position].cells[1] == 5 * block < single


def test_the_first_block_of_a_stage_is_not_folded_with_the_rest(resnet: Analysis) -> None:
    assert names(table(resnet, depth=2)).count("0") == 4


def test_blocks_that_differ_only_inside_do_not_fold() -> None:
    class Block(nn.Module):
        def __init__(self, groups: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=groups)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    network = nn.Sequential(Block(1), Block(1), Block(2))
    tree = table(analyse(target(network, input="4x8x8")))
    assert "0 … 1 ×2" in names(tree)
    assert "2" in names(tree)


def test_blocks_of_a_list_are_named_with_it() -> None:
    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.decoder = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
            self.out = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(2)])

        def forward(self, x: Tensor) -> Tensor:
            for layer in (*self.encoder, *self.decoder, *self.out):
                x = layer(x)
            return x

    tree = table(analyse(target(Translator(), input="4")))
    assert names(tree)[1:-1] == ["encoder.0 … decoder.1 ×5", "out.0 … 1 ×2"]


def test_functional_work_beside_children_has_a_row(resnet: Analysis) -> None:
    tree = table(resnet, unfold=True)
    assert names(tree).count(OWN_WORK) == 16  # the residual adds; flatten is a view


def test_a_later_call_of_a_module_says_so() -> None:
    tree = table(analyse(target(SharedConvolution(), input="4x5x5")))
    assert {"conv", "conv (call 2)", "conv (call 3)"} <= set(names(tree))


class Mixture(nn.Module):
    """Uses one of three experts; a linear layer of n inputs and m outputs has (n + 1)·m weights."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 4)  # 5·4 = 20
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))  # 20 each
        self.head = nn.Linear(4, 4)  # 20

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.experts[1](self.gate(x)))


IDLE_EXPERTS = "experts.0 (not called) … 2 (not called) ×2"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"depth": 1}, [("Sequential", 210), ("0 … 1 ×2", 200), ("2", 10), ("Total", 210)]),
        (
            {"depth": 2, "unfold": True},
            [
                ("Sequential", 210),
                *(
                    row
                    for block in "01"
                    for row in (
                        (block, 100),
                        ("gate", 20),
                        ("experts.1", 20),
                        ("head", 20),
                        ("experts.0 (not called)", 20),
                        ("experts.2 (not called)", 20),
                    )
                ),
                ("2", 10),
                ("Total", 210),
            ],
        ),
        (
            {},
            [
                ("Sequential", 210),
                ("0 … 1 ×2", 200),
                ("gate … head ×3", 120),
                (IDLE_EXPERTS, 80),
                ("2", 10),
                ("Total", 210),
            ],
        ),
    ],
)
def test_what_never_ran_adds_to_the_module_that_holds_it_alone(
    options: dict[str, object], expected: list[tuple[str, int]]
) -> None:
    network = nn.Sequential(Mixture(), Mixture(), nn.Linear(4, 2))  # the last 5·2 = 10
    shown = table(analyse(target(network, input="4")), **options)
    params = [column.key for column in shown.columns].index("params")
    assert [(row.cells[0], row.cells[params]) for row in shown.rows] == expected


def test_depth_is_chosen_to_read_comfortably_and_said(resnet: Analysis) -> None:
    tree = table(resnet)
    assert len(tree.rows) <= 61
    assert tree.notes[1] == f"Depth 2 of 4; {parameter('depth', 4)} shows more."
    assert not any("Depth" in note for note in table(resnet, unfold=True).notes)


RATIOS = ("macs_share", "intensity")
"""What does not add up, or only nearly."""


@pytest.mark.parametrize("sort", RATIOS)
def test_layers_sorted_by_a_ratio_fall(resnet: Analysis, sort: str) -> None:
    tree = table(resnet, sort=sort)
    values = [value or 0 for value in tree.column(sort)[:-1]]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]


def test_the_column_that_sorts_is_shown_however_narrow(resnet: Analysis) -> None:
    (shown,) = (c for c in table(resnet, sort="param_bytes").columns if c.key == "param_bytes")
    assert shown.priority == 0


@pytest.mark.parametrize("sort", [k for k in SORTABLE if k not in ("execution", "name", *RATIOS)])
def test_sorted_layers_fall_and_re_add(resnet: Analysis, sort: str) -> None:
    tree = table(resnet, sort=sort, columns=[sort])
    values = [row.cells[1] for row in tree.rows[:-1]]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert sum(values) == tree.rows[-1].cells[1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["mac"]}, "columns='mac': unknown column; did you mean macs?"),
        ({"columns": ["colour"]}, "columns='colour': unknown column; use one of"),
        ({"sort": "size"}, "sort='size': unknown order; use one of"),
    ],
)
def test_unknown_columns_and_orders(
    resnet: Analysis, options: dict[str, object], words: str
) -> None:
    with pytest.raises(archscope.ArchscopeError) as raised:
        table(resnet, **options)
    assert words in str(raised.value)


def test_an_incomplete_count_is_marked_from_the_layer_to_the_total() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.aten._test_autograd_multiple_dispatch(x)

    tree = table(analyse(target(nn.Sequential(nn.Linear(4, 4), Spectrum()), input="4")))
    marked = [row.cells[0] for row in tree.rows if "macs" in row.lower_bound]
    assert marked == ["Sequential", "1", "Total"]
    assert any(
        "aten::_test_autograd_multiple_dispatch in 1 has no formula" in note for note in tree.notes
    )


def test_every_column_can_be_shown(resnet: Analysis) -> None:
    shown = table(resnet, columns=list(COLUMNS))
    assert [column.key for column in shown.columns] == ["name", *COLUMNS]


def test_flat_rows_hold_every_layer_under_its_full_name(resnet: Analysis) -> None:
    flat = layers_table(resnet)
    assert "layer1.0.conv1" in flat.column("name")
    assert sum(flat.column("macs")) == 4_089_184_256  # type: ignore[arg-type]


def test_the_python_result_prints_converts_and_shows() -> None:
    result = archscope.summary("lenet", backward=True)
    assert "conv1" in str(result)
    assert "<table" in result._repr_html_()
    frame = result.to_frame()
    assert frame["params"].sum() == 61_706
    assert list(frame.loc[frame["kind"] == "Linear", "params"]) == [48_120, 10_164, 850]
    # LeNet's dense second convolution: 10·10·16·6·25 products (and 1,600 biases).
    assert frame.set_index("name").loc["conv2", "macs"] == 240_000
