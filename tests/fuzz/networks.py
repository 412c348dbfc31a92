"""Random small networks, and their multiply-accumulates counted one by one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor, nn

CASES = int(os.environ.get("ARCHSCOPE_FUZZ_CASES", "100"))

many = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""Tries `ARCHSCOPE_FUZZ_CASES` cases of a law."""

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {1: nn.AvgPool1d, 2: nn.MaxPool2d, 3: nn.AvgPool3d}


class Branches(nn.Module):
    """Two ways from one input, added or concatenated; they may be the same module."""

    def __init__(self, first: nn.Module, second: nn.Module, concatenate: bool) -> None:
        super().__init__()
        self.first, self.second, self.concatenate = first, second, concatenate

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        return torch.cat([a, b], 1) if self.concatenate else a + b


@dataclass(frozen=True)
class Case:
    """A network and the shape of one input sample."""

    network: nn.Module
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"{self.network!r} on {self.shape}"


@st.composite
def convolutions(draw: Any, rank: int, channels: int, keep_sides: bool = False) -> nn.Module:
    """A convolution of any kind; with `keep_sides`, one whose output is as large as its input."""
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 4) if channels % g == 0]))
    out = groups * draw(st.integers(1, 3))
    bias = draw(st.booleans())
    if not keep_sides and draw(st.booleans()) and draw(st.booleans()):
        return TRANSPOSED[rank](
            channels,
            out,
            draw(st.integers(1, 3)),
            draw(st.integers(1, 2)),
            groups=groups,
            bias=bias,
        )
    dilation = draw(st.integers(1, 2))
    kernel = draw(st.sampled_from([1, 3]))
    stride = 1 if keep_sides else draw(st.integers(1, 2))
    mode = draw(st.sampled_from(["zeros", "circular", "replicate"]))
    return CONVOLUTIONS[rank](
        channels, out, kernel, stride, dilation * (kernel // 2), dilation, groups, bias, mode
    )


@st.composite
def cases(draw: Any) -> Case:
    """A stack of layers and branches in one to three dimensions, of any width and head."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    channels = width = draw(st.integers(1, 4))
    sides = tuple(draw(st.integers(6, 9)) for _ in range(rank))
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "norm", "act", "pool", "branches", "again"]))
        if kind == "conv":
            layers.append(draw(convolutions(rank, width)))
            width = layers[-1].out_channels  # type: ignore[assignment]
        elif kind == "norm":
            layers.append(NORMS[rank](width))
        elif kind == "act":
            computed = bool(layers) and not isinstance(layers[-1], (nn.ReLU, nn.GELU))
            in_place = computed and draw(st.booleans())  # autograd allows it only there
            layers.append(nn.ReLU(inplace=True) if in_place else nn.GELU())
        elif kind == "pool":
            layers.append(POOLS[rank](2, 1))
        elif kind == "branches":
            first = draw(convolutions(rank, width, keep_sides=True))
            both = draw(st.booleans())
            concatenate = both or draw(st.booleans())
            second = first if both else nn.Identity()
            if not concatenate and first.out_channels != width:
                concatenate = True
            layers.append(Branches(first, second, concatenate))
            if concatenate:
                width = first.out_channels * 2 if both else first.out_channels + width  # type: ignore
        elif layers and isinstance(layers[-1], nn.GELU):
            layers.append(layers[-1])  # a module that runs twice
    pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[rank]
    layers += [pool(1), nn.Flatten(), nn.Linear(width, draw(st.integers(1, 3)))]
    return Case(nn.Sequential(*layers).eval(), (channels, *sides))


def macs_by_hand(layer: nn.Module, x: Tensor) -> int:
    """Walk over every position, tap and pair of channels; nothing is multiplied out."""
    if isinstance(layer, nn.Linear):
        rows = product(*map(range, x.shape[:-1]))
        pairs = [0 for _ in range(layer.out_features) for _ in range(layer.in_features)]
        return sum(len(pairs) for _ in rows)
    transposed = isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))
    if not transposed and not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return 0
    positions = 1
    for axis, side in enumerate(x.shape[2:]):
        if transposed:
            starts = list(range(side))
        else:
            padded = side + 2 * layer.padding[axis]  # type: ignore[operator, index]
            reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)  # type: ignore
            starts = [s for s in range(0, padded, layer.stride[axis]) if s + reach < padded]  # type: ignore
        positions *= len(starts)
    connected = sum(
        1
        for group in range(layer.groups)  # type: ignore[arg-type]
        for source in range(layer.in_channels)  # type: ignore[arg-type]
        for target in range(layer.out_channels)  # type: ignore[arg-type]
        if source * layer.groups // layer.in_channels == group  # type: ignore
        and target * layer.groups // layer.out_channels == group  # type: ignore
    )
    taps = sum(1 for _ in product(*map(range, layer.kernel_size)))  # type: ignore[arg-type]
    return len(x) * positions * taps * connected


@dataclass
class RealRun:
    """What hooks saw in a real run: every module's output shapes, and work counted by hand."""

    shapes: list[tuple[int, ...]]
    macs: int


def real_run(case: Case, batch: int) -> RealRun:
    """Run a network on the CPU as anyone would."""
    seen = RealRun([], 0)

    def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        seen.shapes.append(tuple(output.shape))
        seen.macs += macs_by_hand(module, args[0])

    handles = [module.register_forward_hook(hook) for module in case.network.modules()]
    with torch.no_grad():
        case.network(torch.randn(batch, *case.shape))
    for handle in handles:
        handle.remove()
    return seen
