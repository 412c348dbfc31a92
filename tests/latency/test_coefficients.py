"""Which of the fitted numbers hold for a device: its own, or those of the one nearest to it."""

from __future__ import annotations

import pytest

from archscope.latency.coefficients import Rates, Unit, fitted
from archscope.latency.devices import find_device, sustained
from archscope.latency.setting import Setting


def rates(device: str, mode: str = "inference", *, compiled: bool = False) -> Rates:
    return Rates(find_device(device), Setting(mode, compiled=compiled), fitted())


def lender(device: str, mode: str = "inference", *, compiled: bool = False) -> str:
    table = rates(device, mode, compiled=compiled).table
    assert table is not None
    return table.device


@pytest.mark.parametrize(
    ("device", "mode", "compiled", "expected"),
    [
        ("rtx4090", "inference", False, "rtx4090"),
        ("rtx5090", "inference", False, "rtx4090"),  # one generation later
        ("rtx3090", "inference", True, "rtx4090"),  # no other was measured compiled
        ("rtx4090", "training", False, "rtx3090"),  # nor any nearer one training
        ("a10", "inference", False, "rtx3090"),  # of the same generation
    ],
)
def test_a_device_without_measurements_borrows_from_the_nearest(
    device: str, mode: str, compiled: bool, expected: str
) -> None:
    assert lender(device, mode, compiled=compiled) == expected


def test_borrowed_numbers_are_not_called_measured() -> None:
    own, borrowed = rates("rtx4090"), rates("rtx5090")
    assert own.measured and not borrowed.measured
    assert borrowed.interval == fitted().unmeasured
    assert "by the ratio of its data sheet to that of NVIDIA GeForce RTX 5090" in borrowed.source


def test_what_does_not_depend_on_the_order_of_images_has_one_efficiency() -> None:
    """Element by element, memory is read from first to last, whatever its axes mean."""
    found = rates("rtx3090")
    for kind, alike in (("elementwise", True), ("pointwise", False)):
        last, first = (found.efficiency(kind, order, "tensor cores") for order in ("nhwc", "nchw"))
        assert (last == first) == alike


def test_matrix_products_run_slower_where_power_is_short() -> None:
    """300 W for 439 TFLOP/s is 0.68 pJ each: (0.68/2.5)^0.4 = 0.595; an RTX 4090 has 2.7 pJ."""
    short = find_device("rtxpro6000-maxq")
    assert sustained(short) == pytest.approx(0.595, abs=0.005)
    assert sustained(find_device("rtx4090")) == 1
    lent, own = rates("rtxpro6000-maxq"), rates("rtx4090")
    assert lent.table is own.table
    for kind, expected in (("linear", sustained(short)), ("elementwise", 1)):
        unit: Unit = "tensor cores" if kind == "linear" else "plain cores"
        ratio = lent.efficiency(kind, "", unit).compute / own.efficiency(kind, "", unit).compute
        assert ratio == pytest.approx(expected)
