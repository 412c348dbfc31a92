"""Random small networks, and their multiply-accumulates counted by PyTorch's kernels on ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
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

few = settings(many, max_examples=max(1, CASES // 10))
"""A tenth of them, of a law whose every case counts a network many times."""

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MULTIPLIERS = (*CONVOLUTIONS.values(), *TRANSPOSED.values(), nn.Linear)
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE_POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


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


def runs(layer: nn.Module, x: Tensor) -> Tensor | None:
    """What a layer makes of zeros, `None` where it does not take them or makes too many."""
    try:
        with torch.no_grad():
            y: Tensor = layer.eval()(x)
    except (RuntimeError, ValueError):
        return None
    return y if 0 < y.numel() < 10_000 else None


@st.composite
def convolutions(draw: Any, x: Tensor, keep_sides: bool = False) -> nn.Module:
    """A convolution of any kind; with `keep_sides`, one whose output is as large as its input."""
    rank, channels = x.dim() - 2, x.shape[1]
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 4) if channels % g == 0]))
    out = groups * draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2))
    options: dict[str, Any] = {"groups": groups, "bias": draw(st.booleans()), "dilation": dilation}
    if not keep_sides and draw(st.integers(0, 3)) == 0:
        stride, kernel = draw(st.integers(1, 2)), draw(st.integers(1, 3))
        options |= {"padding": draw(st.integers(0, 1)), "output_padding": stride - 1}
        layer: nn.Module = TRANSPOSED[rank](channels, out, kernel, stride, **options)
    else:
        stride = 1 if keep_sides else draw(st.integers(1, 2))
        kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
        paddings = [0, 1, 2, "valid", *(["same"] if stride == 1 else [])]
        padding = "same" if keep_sides else draw(st.sampled_from(paddings))
        mode = draw(st.sampled_from(["zeros", "zeros", "circular", "replicate", "reflect"]))
        options |= {"padding": padding, "padding_mode": mode}
        layer = CONVOLUTIONS[rank](channels, out, kernel, stride, **options)
    # A kernel may be too large for what is left of the image: then a 1×1 convolution.
    return layer if runs(layer, x) is not None else CONVOLUTIONS[rank](channels, out, 1)


@st.composite
def pools(draw: Any, x: Tensor) -> nn.Module:
    rank = x.dim() - 2
    pool = draw(st.sampled_from([MAX_POOLS, AVERAGE_POOLS]))[rank]
    kernel = draw(st.integers(2, 3))
    options = {"padding": draw(st.integers(0, 1)), "ceil_mode": draw(st.booleans())}
    return pool(kernel, draw(st.integers(1, 2)), **options)


@st.composite
def norms(draw: Any, x: Tensor, any_size: bool) -> nn.Module:
    rank, channels = x.dim() - 2, x.shape[1]
    choices = [
        BATCH_NORMS[rank](channels),
        INSTANCE_NORMS[rank](channels, affine=True),
        nn.GroupNorm(draw(st.sampled_from([1, channels])), channels),
        nn.LocalResponseNorm(3),
    ]
    if not any_size:
        choices.append(nn.LayerNorm(tuple(x.shape[2:])))
    return draw(st.sampled_from(choices))


@st.composite
def branches(draw: Any, x: Tensor) -> nn.Module:
    """A convolution beside the identity, beside another one, or beside itself."""
    first = draw(convolutions(x, keep_sides=True))
    second = draw(
        st.sampled_from([first, nn.Identity()]) | convolutions(x, keep_sides=True)  # type: ignore
    )
    a, b = runs(first, x), runs(second, x)
    if a is None or b is None:
        return first
    return Branches(first, second, concatenate=a.shape != b.shape or draw(st.booleans()))


def doubled(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
    return output * 2


CHANGES: list[Callable[[nn.Sequential], object]] = [
    lambda block: None,
    lambda block: block[0].register_forward_hook(doubled),
    lambda block: block.register_forward_hook(doubled),
    lambda block: setattr(block[0], "bias", None),
    lambda block: setattr(block[0], "dilation", tuple(2 for _ in block[0].dilation)),
    lambda block: setattr(block[0], "padding_mode", "zeros"),
    lambda block: block.__setitem__(1, nn.Identity()),
    lambda block: block.__setitem__(2, nn.Tanh()),
    lambda block: block.append(nn.Softmax(1)),
    lambda block: setattr(block[2], "forward", lambda x: x),
]
"""How one block may differ from another."""


@st.composite
def blocks(draw: Any, x: Tensor) -> nn.Module:
    """A block, one like it, and one that may differ: none may be taken for another."""
    rank, channels = x.dim() - 2, x.shape[1]
    mode = draw(st.sampled_from(["zeros", "circular"]))
    convolution = CONVOLUTIONS[rank](channels, channels, 3, padding=1, padding_mode=mode)
    block = nn.Sequential(convolution, BATCH_NORMS[rank](channels), nn.GELU())
    again, other = deepcopy(block), deepcopy(block)
    draw(st.sampled_from(CHANGES))(other)
    return nn.Sequential(*draw(st.permutations([block, again, other])))


KINDS = [
    "conv",
    "conv",
    "conv",
    "norm",
    "act",
    "pool",
    "pool",
    "branches",
    "blocks",
    "blocks",
    "again",
]


@st.composite
def layers(draw: Any, x: Tensor, before: list[nn.Module], any_size: bool) -> nn.Module:
    """A layer that takes x, the output of the layers before."""
    kind = draw(st.sampled_from(KINDS))
    computed = bool(before) and isinstance(before[-1], MULTIPLIERS)
    if kind == "norm":
        return draw(norms(x, any_size))
    if kind == "pool":
        return draw(pools(x))
    if kind == "blocks":
        return draw(blocks(x))
    if kind == "branches":
        return draw(branches(x))
    if kind == "act":
        if computed and draw(st.booleans()):
            return nn.ReLU(inplace=True)  # autograd allows it only where nobody needs its input
        return draw(st.sampled_from([nn.GELU(), nn.ReLU(), nn.PReLU(), nn.Softmax(1)]))
    shared = [layer for layer in before if not isinstance(layer, nn.ReLU)]
    if kind == "again" and shared:
        return draw(st.sampled_from(shared))  # a module that runs twice, if it takes x
    return draw(convolutions(x))


@st.composite
def cases(draw: Any, any_size: bool = False) -> Case:
    """A stack of layers and branches in one to three dimensions, of any width and head.

    With `any_size`, one that takes images of any size.
    """
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    shape = (draw(st.integers(1, 4)), *(draw(st.integers(5, 9 - rank)) for _ in range(rank)))
    x = torch.zeros(1, *shape)
    stack: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        layer = draw(layers(x, stack, any_size))
        y = runs(layer, x)
        if y is not None:
            stack.append(layer)
            x = y
    head = draw(st.sampled_from(["none", "pooled", "pooled", "flat"]))
    if head == "pooled" or (head == "flat" and any_size):
        stack.append(ADAPTIVE_POOLS[rank](1))
        x = torch.zeros(1, x.shape[1])
    if head != "none":
        stack += [nn.Flatten(), nn.Linear(x[0].numel(), draw(st.integers(1, 3)))]
    elif not any(isinstance(part, MULTIPLIERS) for layer in stack for part in layer.modules()):
        stack.append(CONVOLUTIONS[rank](x.shape[1], 1, 1))
    return Case(nn.Sequential(*stack).eval(), shape)


@dataclass
class Products:
    """Multiply-accumulates of one call: forward, and of the gradients of its input and weight."""

    forward: int
    of_input: int
    of_weight: int


def products(layer: nn.Module, x: Tensor, output_shape: tuple[int, ...]) -> Products:
    """Let PyTorch's own kernels count: on ones every multiply-accumulate adds one to the sum.

    Padding is part of the input, and a transposed convolution crops none of its output, since
    every product counts that a kernel makes.
    """
    if not isinstance(layer, MULTIPLIERS):
        return Products(0, 0, 0)
    weight = torch.ones_like(layer.weight, dtype=torch.float64, requires_grad=True)
    ones = torch.ones_like(x, dtype=torch.float64)
    with torch.enable_grad():
        if isinstance(layer, nn.Linear):
            y = F.linear(ones.requires_grad_(), weight)
        elif isinstance(layer, tuple(TRANSPOSED.values())):
            function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[x.dim() - 3]
            ones.requires_grad_()
            y = function(ones, weight, None, layer.stride, 0, 0, layer.groups, layer.dilation)
        else:
            ones = F.pad(ones, layer._reversed_padding_repeated_twice, value=1).requires_grad_()
            function = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
            y = function(ones, weight, None, layer.stride, 0, layer.dilation, layer.groups)
            assert y.shape == output_shape
        gradients = torch.autograd.grad(y, (ones, weight), torch.ones_like(y))
    return Products(int(y.sum()), *(int(gradient.sum()) for gradient in gradients))


@dataclass
class Calls:
    """What hooks saw of one module in a real run, a list entry a call."""

    input_shapes: list[tuple[int, ...]] = field(default_factory=list)
    output_shapes: list[tuple[int, ...]] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)
    macs_backward: list[int] = field(default_factory=list)


def real_run(case: Case, batch: int, input_gradient: bool) -> dict[str, Calls]:
    """Run a network on the CPU as anyone would: every module's calls under its first name.

    Args:
        case: the network.
        batch: samples.
        input_gradient: whether the input needs a gradient, as it does in a layer further on.
    """
    names = {module: name for name, module in case.network.named_modules()}
    seen: dict[str, Calls] = {}

    def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        shape = tuple(output.shape)
        found = products(module, args[0], shape)
        calls = seen.setdefault(names[module], Calls())
        calls.input_shapes.append(tuple(args[0].shape))
        calls.output_shapes.append(shape)
        calls.macs.append(found.forward)
        calls.macs_backward.append(found.of_weight + found.of_input * args[0].requires_grad)

    handles = [module.register_forward_hook(hook) for module in names]
    x = torch.randn(batch, *case.shape, requires_grad=input_gradient)
    case.network(x)
    for handle in handles:
        handle.remove()
    return seen
