"""Equal blocks of a closed form are shown once, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from archscope.analysis.closed_form.polynomial import Polynomial
from archscope.ask.symbols.formula import LayerForm, formula
from archscope.ask.target import network_target
from archscope.records import Layer
from archscope.study.folding import folded
from archscope.study.formula import formula_report


def forms(names: Sequence[tuple[str, int]]) -> list[LayerForm]:
    """Layers by name and parameters."""
    return [
        LayerForm(Layer(name, "Linear", params=params), Polynomial(), None)
        for name, params in names
    ]


def named(names: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return [(row.name, row.times) for row in folded(forms(names))]


def test_blocks_fold_where_all_their_layers_are_equal() -> None:
    blocks = [(f"blocks.{i}.{layer}", params)
              for i in range(3) for layer, params in (("a", 1), ("b", 2))]  # fmt: skip
    assert named([("stem", 1), *blocks]) == [("stem", 1), ("blocks.0…2.a", 3), ("blocks.0…2.b", 3)]


def test_a_block_that_differs_stays_alone() -> None:
    assert named([("h.0.a", 1), ("h.1.a", 1), ("h.2.a", 5), ("h.3.a", 1)]) == [
        ("h.0…1.a", 2), ("h.2.a", 1), ("h.3.a", 1),
    ]  # fmt: skip


def test_a_block_with_another_number_of_layers_stays_alone() -> None:
    assert named([("h.0.a", 1), ("h.0.b", 1), ("h.1.a", 1)]) == [
        ("h.0.a", 1), ("h.0.b", 1), ("h.1.a", 1),
    ]  # fmt: skip


def test_blocks_fold_inside_of_blocks() -> None:
    nested = [(f"stages.{i}.blocks.{j}.a", 1) for i in range(2) for j in range(3)]
    assert named(nested) == [("stages.0…1.blocks.0…2.a", 6)]


def test_numbers_after_a_name_count_too() -> None:
    names = [(f"encoder.layer_{i}.a", 1) for i in range(9, 12)]
    assert named(names) == [("encoder.layer_9…11.a", 3)]


def test_the_rows_of_a_formula_add_up_to_its_parameters() -> None:
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(4)]
    found = formula(network_target(nn.Sequential(*layers), input="L×8"))
    report = formula_report(found)
    table = report.tables[1]
    total = 0
    for params, times in zip(table.column("params"), table.column("times"), strict=True):
        assert isinstance(params, int) and isinstance(times, int)
        total += params * times
    assert total == found.params
    assert report.data is not None and len(report.data.rows) == 4 * len(table.rows)
