"""Convolutions and matrix products as kernels: their work is what the count says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.latency.coefficients import fitted
from archscope.latency.devices import find_device
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.latency.model import arithmetic_rate, idle_waste, kernel_seconds, winograd_sides
from archscope.latency.products import in_bounds
from archscope.latency.rates import Rates
from archscope.latency.setting import Setting
from archscope.records import Operand


def kernels_of(
    module: nn.Module, input: str, mode: str = "training", dtype: str = "float32"
) -> list[Kernel]:
    setting = Setting(mode, dtype)
    run = executed(*network_target(module, input=input, batch=3).called(), setting, True)
    return list(kernels(run.execution, dtype))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(8, 12, 3, padding=1),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.Conv2d(8, 12, 1, bias=False),
        nn.Conv2d(8, 16, 3, groups=4),
        nn.ConvTranspose2d(8, 6, 2, stride=2),
    ],
    ids=["3×3", "strided", "1×1", "grouped", "transposed"],
)
def test_each_pass_of_a_convolution_multiplies_equally_much(convolution: nn.Module) -> None:
    """Output (or for the transposed one input) positions × channels × kernel, three times.

    The input is made a product of parameters so that it has a gradient.
    """
    network = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), convolution)
    found = [k for k in kernels_of(network, "8x12x12") if k.times and k.layer == 2]
    by_pass = {k.kind.partition("_gradient")[0][-6:]: k.flops for k in found}
    assert len(found) == 3, by_pass
    assert max(by_pass.values()) == pytest.approx(min(by_pass.values()))


def test_a_transposed_convolution_is_the_gradient_of_a_convolutions_input() -> None:
    """Kernel 4 by steps of 2: each of 3·24·24 results meets 4·4 / (2·2) elements of 8 channels."""
    (kernel,) = (
        k
        for k in kernels_of(
            nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), "8x12x12", "inference"
        )
        if k.times
    )
    assert (kernel.rows, kernel.columns, kernel.depth) == (3 * 24 * 24, 6, 8 * 4)
    rates = Rates(find_device("rtx3090"), Setting("inference", "float32"), fitted())
    alike = kernel._replace(kind="convolution_strided_input_gradient")
    assert kernel_seconds(kernel, rates) == kernel_seconds(alike, rates)


def test_a_recurrent_layer_starts_its_products_alone_and_converts_no_states() -> None:
    """The library starts the cell of each step with its products, and keeps states in half.

    Two products a step, of the input and of the state, and no operator converts an activation.
    """
    found = kernels_of(nn.LSTM(8, 8, batch_first=True), "5x8", "inference", "amp")
    assert sum(k.launches for k in found if k.kind != "weight_cast") == 2 * 5
    assert not [k for k in found if k.kind == "cast"]


def test_the_work_of_a_3x3_convolution() -> None:
    """3·14·14 positions × 5 channels × 4·3·3: 2·3·14·14·5·36 = 211,680 flops; 3·4·4 squares."""
    (kernel,) = (
        k
        for k in kernels_of(nn.Conv2d(4, 5, 3, padding=1, bias=False), "4x14x14", "inference")
        if k.times
    )
    assert kernel.flops == 211_680
    assert kernel.read == 4 * (3 * 4 * 14 * 14 + 5 * 4 * 9)
    assert kernel.written == 4 * 3 * 5 * 14 * 14


def test_winograd_covers_positions_by_squares_of_four() -> None:
    (kernel,) = (
        k for k in kernels_of(nn.Conv2d(8, 8, 3, padding=1), "8x14x14", "inference") if k.times
    )
    assert kernel.squares == 3 * 4 * 4  # ⌈14/4⌉ = 4 along each side


def test_winograd_finds_the_gradient_of_a_weight_from_squares_of_the_gradient() -> None:
    """36 products of (5, squares) by (squares, 8): ⌈14/4⌉ = 4 squares along each side."""
    found = kernels_of(nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 5, 3, padding=1)), "8x14x14")
    sides = {k.kind: winograd_sides(k) for k in found if k.squares}
    squares = 3 * 4 * 4  # of three images
    assert sides == {
        "convolution_3": (squares, 5, 8),
        "convolution_3_input_gradient": (squares, 8, 5),
        "convolution_3_weight_gradient": (5, 8, squares),
    }


@pytest.mark.parametrize(
    ("side", "stride", "kind"),
    [
        (1, 1, "pointwise"),
        (1, 2, "pointwise_strided"),
        (3, 1, "convolution_3"),
        (3, 2, "convolution_strided"),
        (5, 1, "convolution"),
        (5, 2, "convolution_strided"),
        (4, 4, "patches"),
    ],
)
def test_a_convolution_by_steps_is_a_kind_of_its_own(side: int, stride: int, kind: str) -> None:
    """Its gradients meet positions that no output comes from, for which libraries have kernels."""
    convolution = nn.Conv2d(8, 8, side, stride)
    assert [k.kind for k in kernels_of(convolution, "8x12x12", "inference") if k.times] == [kind]


@pytest.mark.parametrize(
    ("device", "dtype", "peak", "unit"),
    [  # peaks of the data sheets
        ("rtx3090", "float16", 71e12, "tensor cores"),
        ("rtx3090", "float32", 35.6e12, "plain cores"),
        ("titanxp", "float16", 12.1e12, "plain cores in half precision"),
        ("titanxp", "float32", 12.1e12, "plain cores"),
    ],
)
def test_half_precision_without_tensor_cores_is_computed_as_float32(
    device: str, dtype: str, peak: float, unit: str
) -> None:
    found = arithmetic_rate(Kernel("linear", dtype, times=1), find_device(device), dtype)
    assert found == (pytest.approx(peak, rel=0.02), unit)


def test_taps_outside_of_the_image_are_left_out() -> None:
    """Along 7 positions with 7 taps and padding 3: 4 + 5 + 6 + 7 + 6 + 5 + 4 = 37 of 49."""
    image = Operand(0, (1, 1, 7, 7), "float32", "activation", 49)
    weight = Operand(1, (1, 1, 7, 7), "float32", "parameter", 49)
    assert in_bounds(image, image, weight, (1, 1), (3, 3), (1, 1)) == 37 * 37


def test_a_linear_layer_with_its_gradients() -> None:
    """3 rows × 10 × 20 in every pass: 1,200 flops each; the first layer has no input gradient."""
    found = [k for k in kernels_of(nn.Linear(10, 20), "10") if k.times]
    assert {k.kind: k.flops for k in found} == {"linear": 1200, "linear_weight_gradient": 1200}


def test_half_precision_wants_sides_divisible_by_eight() -> None:
    odd, even = (
        next(k for k in kernels_of(nn.Linear(16, n), "16", "inference", "amp") if k.times)
        for n in (12, 24)
    )
    assert (odd.aligned, even.aligned) == (False, True)


class Experts(nn.Module):
    """Four matrices of 16 by 24; rows go to them in equal parts. Its gradients need bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 16, bias=False)
        self.weight = nn.Parameter(torch.empty(4, 16, 24, dtype=torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ends = torch.arange(1, 5, dtype=torch.int32, device=x.device) * (len(x) // 4)
        rows = self.inner(x).bfloat16()
        made: torch.Tensor = nn.functional.grouped_mm(rows, self.weight, offs=ends)
        return made


def test_experts_read_the_matrices_that_rows_expectedly_meet() -> None:
    """3 rows of 4 experts meet 4·(1 − (3/4)³) = 2.3125 of them on average."""
    experts = Experts()
    (kernel,) = (k for k in kernels_of(experts, "16", "inference") if k.operator == "_grouped_mm")
    assert kernel.flops == pytest.approx(2 * 3 * 16 * 24)
    ends = 4 * 4  # int32
    assert kernel.read == pytest.approx(4 * (3 * 16 + 2.3125 * 16 * 24) + ends)
    found = [k for k in kernels_of(experts, "16") if k.operator == "_grouped_mm"]
    assert [k.phase for k in found] == ["forward", "backward", "backward"]
    assert all(k.flops == pytest.approx(2 * 3 * 16 * 24) for k in found)


@pytest.mark.parametrize(("idle", "expected"), [(0.0, 1), (0.5, 2), (1.0, 4)])
def test_units_without_a_tile_wait_as_far_as_the_library_lets_them(
    idle: float, expected: float
) -> None:
    """An A100 has 108 units; 27 tiles of 128 by 128 are a quarter of a wave."""
    shape = replace(fitted().shape, idle={"linear": idle})
    kernel = Kernel("linear", "float16", times=1, rows=27 * 128, columns=128, depth=64)
    assert idle_waste(kernel, shape, find_device("a100")) == expected


def test_a_last_wave_of_all_tiles_wastes_nothing() -> None:
    kernel = Kernel("linear", "float16", times=1, rows=2 * 108 * 128, columns=128, depth=64)
    assert idle_waste(kernel, fitted().shape, find_device("a100")) == 1


def test_misaligned_channels_slow_products_down_alone() -> None:
    """A depthwise convolution runs outside of tensor cores, which load by eights."""
    rates = Rates(find_device("rtx3090"), Setting(), fitted())
    misaligned = rates.misaligned("pointwise", "nchw")
    for kind, work, factor in (
        ("pointwise", {"times": 1, "rows": 1e4, "columns": 64, "depth": 1e4}, misaligned),
        ("depthwise_3", {"operations": 1e9}, 1.0),
    ):
        kernel = Kernel(kind, "float16", "nchw", **work)
        slow = kernel_seconds(kernel._replace(aligned=False), rates).compute
        assert slow == pytest.approx(factor * kernel_seconds(kernel, rates).compute)
