"""Which of the fitted numbers hold for a device: its own, or those of the one nearest to it."""

from __future__ import annotations

import pytest

from archscope.latency.coefficients import fitted
from archscope.latency.devices import find_device, sustained, sustained_plain
from archscope.latency.rates import Rates, Unit
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
    plain = sustained_plain(short)  # 300 W for 110 TFLOP/s is 2.7 pJ: (2.7/5)^0.4 = 0.785
    assert plain == pytest.approx(0.785, abs=0.005)
    for kind, expected in (("linear", sustained(short)), ("elementwise", plain)):
        unit: Unit = "tensor cores" if kind == "linear" else "plain cores"
        ratio = lent.efficiency(kind, "", unit).compute / own.efficiency(kind, "", unit).compute
        assert ratio == pytest.approx(expected)


@pytest.mark.parametrize("device", ["titanrtx", "t4", "rtx2070"])
def test_a_kernel_alone_takes_no_share_of_a_step(device: str) -> None:
    """No layer of these was timed as a pooling: a network's rates, without its step and its host.

    Networks on a TITAN RTX took 3.8 ms a step besides their kernels.
    """
    found = rates(device).alone("pooling")
    assert found.table is not None
    assert not found.table.layers
    assert found.step_seconds == found.host_seconds == 0
    assert found.launch_seconds > 0


def test_single_layers_were_timed_without_the_host() -> None:
    for table in fitted().measured:
        assert bool(table.layers) == (table.host == 0)


def test_a_layer_alone_borrows_from_one_in_its_precision() -> None:
    """Products on an H100 were measured in bfloat16 alone, on tensor cores that float32 has not."""
    single = Rates(find_device("h100"), Setting("inference", "float32"), fitted()).alone("linear")
    half = Rates(find_device("h100"), Setting("inference", "bfloat16"), fitted()).alone("linear")
    assert single.table is not None and half.table is not None
    assert (single.table.dtype, half.table.dtype) == ("float32", "bfloat16")
    assert half.table.device == "h100-sxm"


def test_amp_takes_a_devices_own_table_of_half_precision() -> None:
    found = rates("rtx2080ti").table
    assert found is not None
    assert (found.device, found.dtype) == ("rtx2080ti", "float16")


def test_float32_is_slower_where_power_is_short() -> None:
    """72 W for 30.3 TFLOP/s is 2.4 pJ each, where an RTX 4090 has 5.4: (2.4/5)^0.4 = 0.74."""
    assert sustained_plain(find_device("l4")) == pytest.approx(0.743, abs=0.005)
    assert sustained_plain(find_device("rtx4090")) == 1
    short, own = (rates(name).efficiency("linear", "", "plain cores") for name in ("l4", "rtx4090"))
    assert short.compute == pytest.approx(own.compute * 0.743, rel=0.01)


@pytest.mark.parametrize(("device", "kind"), [("l4", "linear"), ("rtx3090", "pooling")])
def test_a_kernel_alone_that_was_not_measured_so_is_less_sure_than_a_network(
    device: str, kind: str
) -> None:
    """A network's errors cancel: of kernels alone on GPUs left out, fewer are near."""
    alone, network = rates(device).alone(kind), Rates(find_device("l4"), Setting(), fitted())
    assert alone.interval == fitted().unmeasured_layers
    assert alone.interval[0] < network.interval[0] < 1 < network.interval[1] < alone.interval[1]
