"""Operators that are kernels of a library: deformable convolutions and Fourier transforms."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

import archscope
from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.latency.precision import typed
from archscope.latency.setting import Setting
from archscope.records.execution import Execution

BATCH, CHANNELS, OUT, TAPS, SIDE = 40, 8, 12, 3 * 3, 16


class Deformable(nn.Module):
    """A convolution whose places another one finds: two numbers for each kernel element."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.places = nn.Conv2d(CHANNELS, 2 * TAPS, 3, padding=1)
        self.deformed = DeformConv2d(CHANNELS, OUT, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.deformed(x, self.places(x))
        return out


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(torch.complex(x, x)).abs()


class Picks(nn.Module):
    """The largest of a few values, after much work that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(CHANNELS, 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(x).mean((2, 3)).topk(1)[0]


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(x).sort(-1)[0]


def kernels_of(module: nn.Module, mode: str, operator: str, dtype: str = "float32") -> list[Kernel]:
    return [k for k in kernels(recorded(module, mode, dtype), dtype) if operator in k.operator]


def recorded(module: nn.Module, mode: str, dtype: str) -> Execution:
    target = network_target(module, input=f"{CHANNELS}x{SIDE}x{SIDE}", batch=BATCH)
    return executed(*target.called(), Setting(mode, dtype), True).execution


def test_a_deformable_convolution_gathers_its_samples_and_multiplies_them() -> None:
    """The gathered matrix has a row for each position and a column for each element it meets."""
    positions = BATCH * SIDE * SIDE
    gather, product, bias = kernels_of(Deformable(), "inference", "deform_conv2d")
    assert (gather.kind, product.kind, bias.kind) == ("gather", "linear", "bias")
    assert gather.written == 4 * positions * CHANNELS * TAPS
    assert product.flops == 2 * positions * CHANNELS * TAPS * OUT
    assert gather.launches == product.launches == 2  # 40 images are 32 and 8


def test_each_gradient_of_a_deformable_convolution_multiplies_as_the_forward_pass() -> None:
    forward = kernels_of(Deformable(), "inference", "deform_conv2d")[1]
    found = {k.kind: k for k in kernels_of(Deformable(), "training", "deform_conv2d_backward")}
    for kind in ("linear_input_gradient", "linear_weight_gradient"):
        assert found[kind].flops == forward.flops
        assert found[kind].bytes_moved == forward.bytes_moved  # the same three matrices


def test_autocast_samples_in_float32() -> None:
    found = kernels_of(Deformable(), "inference", "deform_conv2d", "amp")
    assert {kernel.dtype for kernel in found} == {"float32"}
    (operator,) = (one for one in typed(recorded(Deformable(), "inference", "amp"), "amp")
                   if one.run.name == "torchvision::deform_conv2d")  # fmt: skip
    # The images and the places come out of convolutions in float16.
    assert [(before, after) for _, before, after in operator.casts] == [("float16", "float32")] * 2


def test_a_transform_passes_over_all_values_for_every_axis() -> None:
    """A value is a complex number of 8 bytes; n values take 5·n·log2(n) operations."""
    elements = prod((BATCH, CHANNELS, SIDE, SIDE))
    found = kernels_of(Spectrum(), "inference", "fft")
    assert [k.kind for k in found] == ["fft", "fft"]
    assert all(k.written == 8 * elements for k in found)
    assert found[-1].read == 8 * elements
    assert sum(k.operations for k in found) == 5 * elements * 8  # log2(16·16)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_lower_bound_says_how_much_its_unknown_operators_take_at_least(compiled: bool) -> None:
    found = archscope.predict(
        Sorted(), f"{CHANNELS}x{SIDE}x{SIDE}", batch=2048, device="a100", dtype="float32",
        compiled=compiled,
    )  # fmt: skip
    record = found.record
    assert record.unknown == ("sort",)
    least = 2048 * CHANNELS * SIDE * SIDE * (4 + 4 + 8)  # values read and written, and places
    assert record.unknown_seconds == pytest.approx(least / 1.555e12, rel=0.4)
    share = record.unknown_seconds / record.seconds
    assert 0.3 < share < 0.9
    assert f"Moving their bytes takes {100 * share:.1f} % of the step" in str(found)


def test_an_operator_without_a_kind_is_named_however_few_its_values_are() -> None:
    found = archscope.predict(Picks(), f"{CHANNELS}x256x256", batch=16, device="a100").record
    assert found.unknown == ("topk",)
    assert found.unknown_seconds < 0.05 * found.seconds
