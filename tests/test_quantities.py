"""One row a quantity: a key means one thing in every table."""

from __future__ import annotations

import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module

import pytest

from archscope import quantities, study
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.quantities import COUNTED, Difference, Quantity
from archscope.study.sweep import MEASURES
from archscope.table import Column


def columns() -> Iterator[Column]:
    """Every column that a module of study defines, and those of a sweep."""
    for found in pkgutil.walk_packages(study.__path__, f"{study.__name__}."):
        for value in vars(import_module(found.name)).values():
            items = value if isinstance(value, (tuple, list)) else ()
            yield from (item for item in items if isinstance(item, Column))
    yield from (quantity.column() for quantity, _ in MEASURES)


def test_a_key_has_one_heading_and_so_means_one_thing() -> None:
    headings: dict[str, set[str]] = defaultdict(set)
    for column in columns():
        headings[column.key].add(column.title)
    counted = {quantity.key: {quantity.heading} for quantity in COUNTED}
    assert len(counted) == len(COUNTED)
    assert {key: headings[key] for key in counted if key in headings} == {
        key: heading for key, heading in counted.items() if key in headings
    }
    assert {"params", "macs", "intensity"} <= headings.keys()


@pytest.mark.parametrize("quantity", COUNTED, ids=lambda quantity: quantity.key)
def test_a_quantity_is_read_from_totals_of_one_network_or_of_layers(quantity: Quantity) -> None:
    analysis = analyse(target("lenet"), backward=True)
    assert quantity.read is not None
    assert quantity.of(analysis.calls) == quantity.read(analysis.total)


def test_what_operators_without_a_formula_bound() -> None:
    """Multiply-accumulates and elementwise work; shapes, bytes and parameters stay exact."""
    assert {
        "macs", "macs_ratio", "macs_backward", "macs_training", "elementwise",
    } == quantities.LOWER_BOUNDS  # fmt: skip


def test_the_best_of_a_comparison() -> None:
    assert quantities.MACS.best([3, 1, 2]) == 1
    assert quantities.TOP1.best([0.7, 0.9]) == 0.9


def test_a_difference_is_an_amount_a_share_and_a_ratio() -> None:
    more = Difference(5, 4)
    assert (more.amount, more.share, more.ratio) == (1, 0.25, 1.25)
    none = Difference(5, 0)
    assert (none.amount, none.share, none.ratio) == (5, None, None)
