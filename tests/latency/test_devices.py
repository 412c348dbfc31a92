"""Data sheets: names are found as vendors, drivers and users write them."""

from __future__ import annotations

import pytest

from archscope.errors import ArchscopeError
from archscope.latency.devices import devices, find_device


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rtx4090", "rtx4090"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("RTX-3090", "rtx3090"),
        ("a100", "a100-sxm-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("Tesla T4", "t4"),
        ("AMD Instinct MI210", "mi210"),
        ("V100-SXM2-16GB", "v100-sxm"),
        ("v100-32gb", "v100-sxm"),
        ("H100-SXM", "h100-sxm"),
        ("a100-80gb", "a100-sxm-80gb"),
        ("RTX_4090", "rtx4090"),
        ("instinct mi300x", "mi300x"),
        ("h200", "h200-sxm"),
        ("RTX PRO 6000 Blackwell Max-Q", "rtxpro6000-maxq"),
        ("NVIDIA A10G Tensor Core GPU", "a10g"),
        ("Tesla V100-SXM2-32GB", "v100-sxm"),
        ("RTX 3090 24GB", "rtx3090"),
        ("Quadro RTX 8000", "rtx8000"),
        ("3080 Ti", "rtx3080ti"),
    ],
)
def test_a_device_is_found_under_its_names(name: str, key: str) -> None:
    assert find_device(name).key == key


def test_an_unknown_device_is_answered_with_near_names() -> None:
    with pytest.raises(ArchscopeError, match=r"unknown device 'rtx4091'; did you mean rtx4090"):
        find_device("rtx4091")


def test_a_card_of_another_memory_is_not_taken_for_the_one_known() -> None:
    """An RTX 3080 of 12 GB has more units than that of 10 GB."""
    assert find_device("RTX 3080 10GB").key == "rtx3080"
    with pytest.raises(ArchscopeError, match="unknown device 'RTX 3080 12GB'"):
        find_device("RTX 3080 12GB")


@pytest.mark.parametrize("key", devices())
def test_a_data_sheet_agrees_with_itself(key: str) -> None:
    """float32 rates follow from cores and clock: 2 flops a core and cycle, 64 or 128 cores a unit.

    Matrix cores of AMD and vendors' rounding allow 4 %.
    """
    device = devices()[key]
    cores = device.peak_flops_per_second["float32"] / (2 * device.boost_clock_hz)
    per_unit = cores / device.compute_units
    assert any(abs(per_unit / usual - 1) < 0.06 for usual in (64, 128, 256))
    assert device.source


FLOAT64_UNITS = {
    "maxwell": (4, 128), "pascal": (4, 128), "volta": (32, 64), "turing": (2, 64),
    "ampere": (2, 128), "ada": (2, 128), "hopper": (64, 128), "blackwell": (2, 128),
}  # fmt: skip
"""float64 and float32 results a cycle of a multiprocessor: CUDA C++ Programming Guide, table of
arithmetic throughput, compute capabilities 5.2, 6.1, 7.0, 7.5, 8.6, 8.9, 9.0 and 12.0."""

OF_ONE_CHIP = {
    "p100-pcie": (32, 64), "p100-sxm": (32, 64),  # 6.0
    "a100-sxm-40gb": (32, 64), "a100-sxm-80gb": (32, 64), "a100-pcie-40gb": (32, 64),  # 8.0
    "a100-pcie-80gb": (32, 64), "a30": (32, 64),
    "b200": (64, 128), "gb200": (64, 128),  # 10.0
}  # fmt: skip


@pytest.mark.parametrize("key", [key for key, d in devices().items() if d.vendor == "nvidia"])
def test_float64_has_the_share_of_its_units(key: str) -> None:
    """Data sheets round both rates, by up to 2 %."""
    rates = devices()[key].peak_flops_per_second
    double, single = OF_ONE_CHIP.get(key, FLOAT64_UNITS[devices()[key].architecture])
    assert rates["float64"] / rates["float32"] == pytest.approx(double / single, rel=0.03)


def test_the_rates_of_half_precision_are_those_of_tensor_cores() -> None:
    """H100 SXM: 989 TFLOP/s dense; H200 differs from it in memory alone."""
    h100, h200 = find_device("h100"), find_device("h200")
    assert h100.peak_flops_per_second == h200.peak_flops_per_second
    assert h200.bandwidth_bytes_per_second == 4_800_000_000_000
