"""What a network is called with: specifications and tensors → arguments of `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archscope.analysis import borrow
from archscope.analysis.calls import Arguments
from archscope.analysis.nested import shape_of, tensors
from archscope.analysis.replica import StandIn, replica
from archscope.ask.network.inputs import Tensors, require_no_batch
from archscope.ask.network.proposal import wanted
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Dim, InputSpec, TensorSpec

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject
from archscope.ask.network.countable import refuse_nested

MOST_BYTES = 2**63 - 1


@dataclass(frozen=True)
class NetworkCall:
    """Arguments of one call, made for the device that it runs on.

    Args:
        spec: what is passed.
        on_meta: makes the arguments without storage.
        with_values: makes them with values: the user's own, or random ones.
        given: the user's own, where tensors were given.
    """

    spec: InputSpec
    on_meta: Callable[[], Arguments]
    with_values: Callable[[], Arguments]
    given: Arguments | None = None

    @property
    def device(self) -> str | None:
        """`cuda` where a tensor of the user's is there, else `None`."""
        return "cuda" if any(tensor.is_cuda for tensor in tensors(self.given)) else None

    def original(self, on_meta: bool) -> Arguments:
        """What a run makes its own copy of: what the user gave, or tensors as specified."""
        if self.given is not None:
            return self.given
        return self.on_meta() if on_meta else self.with_values()


def network_call(
    subject: Subject, input: InputSpec | Tensors | None, batch: Dim | None
) -> NetworkCall:
    """Make the arguments of a network's call, from its default input where none is given.

    Raises:
        ArchscopeError: no input is known, or it holds a sparse or nested tensor.
    """
    if isinstance(input, Tensors):
        require_no_batch(batch)
        return _from_tensors(input)
    return _from_spec(_specification(subject, input, batch), subject.module)


def _specification(subject: Subject, input: InputSpec | None, batch: Dim | None) -> InputSpec:
    default = subject.default_input
    if input is not None:
        spec = input
        if default is not None and len(spec.tensors) == len(default.tensors):
            spec = _like_default(spec, default)
    elif default is None:
        raise ArchscopeError(parameter("input"), *wanted(subject.module, subject.name))
    else:
        spec = default
    return spec if batch is None else with_batch(spec, batch)


def _like_default(spec: InputSpec, default: InputSpec) -> InputSpec:
    """Take names and the calling form from the default where the user left them out."""
    tensors = tuple(
        replace(given, name=given.name or known.name)
        for given, known in zip(spec.tensors, default.tensors, strict=True)
    )
    return InputSpec(tensors, default.layout)


def with_batch(spec: InputSpec, batch: Dim) -> InputSpec:
    """The same input with another batch size.

    Raises:
        ArchscopeError: it is neither a whole number from 1 nor a symbol, or so large that PyTorch
            cannot number the bytes of a tensor.
    """
    from archscope.resolve import parse_batch

    size = parse_batch(batch)
    tensors = tuple(
        replace(tensor, shape=(size, *tensor.shape[1:])) if tensor.batched else tensor
        for tensor in spec.tensors
    )
    largest = max((_bytes(tensor) for tensor in tensors), default=0)
    if largest > MOST_BYTES and isinstance(size, int) and largest // size <= MOST_BYTES:
        raise ArchscopeError(
            parameter("batch", size),
            "makes an input of more bytes than PyTorch can address (2⁶³)",
            "give a smaller one",
        )
    return InputSpec(tensors, spec.layout)


def _bytes(tensor: TensorSpec) -> int:
    """Of a tensor whose symbols are 1."""
    sides = (side for side in tensor.shape if isinstance(side, int))
    return prod(sides) * int(getattr(torch, tensor.dtype).itemsize)


def _from_spec(spec: InputSpec, module: nn.Module) -> NetworkCall:
    width = floating_dtype(module)

    def arguments(make: Callable[[tuple[int, ...], torch.dtype, str], Tensor]) -> Arguments:
        values: list[Any] = []
        for tensor in spec.tensors:
            dtype = getattr(torch, tensor.dtype)
            dtype = width if dtype is torch.float32 else dtype
            made = make(_numbers(tensor), dtype, tensor.name)
            values.append(list(made) if spec.layout == "images" else made)
        positional, named = spec.arguments(values)
        return tuple(positional), named

    return NetworkCall(
        spec,
        lambda: arguments(lambda shape, dtype, _: torch.empty(shape, dtype=dtype, device="meta")),
        lambda: arguments(_random),
    )


def floating_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of the network's parameters: what an unqualified input comes in."""
    floating = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


def _numbers(tensor: TensorSpec) -> tuple[int, ...]:
    symbols = [side for side in tensor.shape if isinstance(side, str)]
    if symbols:
        raise ArchscopeError(
            parameter("input", symbols[0]), "is a symbol where a number is needed", "give a number"
        )
    return tuple(int(side) for side in tensor.shape)


SIZES = ("spatial_shapes", "image_grid_thw", "video_grid_thw")
"""Arguments whose integers are sides of grids, and so at least one."""


def _random(shape: tuple[int, ...], dtype: torch.dtype, name: str) -> Tensor:
    """Normal floats from a fixed seed; zeros for integers, which index every table, or ones."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return (torch.ones if name in SIZES else torch.zeros)(shape, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).to(dtype)


def _from_tensors(given: Tensors) -> NetworkCall:
    positional: tuple[Any, ...] = given.positional
    named: dict[str, Any] = dict(given.named)
    for key, value in (*enumerate(positional, start=1), *named.items()):
        for tensor in tensors(value):
            refuse_nested(f"input {key}", "", tensor)
    spec = InputSpec(
        tuple(
            [_spec(tensor, "") for value in positional for tensor in tensors(value)]
            + [spec for key, value in named.items() for spec in _named(value, key)]
        )
    )

    def arguments(stand_in: StandIn) -> Arguments:
        copied: Arguments = replica(parameter("input"), stand_in).of((positional, named))
        return copied

    return NetworkCall(
        spec,
        partial(arguments, borrow.weightless),
        partial(arguments, _detached),
        given=(positional, named),
    )


def _named(value: Any, name: str) -> Iterator[TensorSpec]:
    """The tensors of an argument; those of a dictionary by their keys: `batch.ids`."""
    if isinstance(value, dict) and all(isinstance(k, str) and k.isidentifier() for k in value):
        for key, entry in value.items():
            yield from _named(entry, f"{name}.{key}")
    else:
        for tensor in tensors(value):
            yield _spec(tensor, name)


def _spec(tensor: Tensor, name: str) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(shape_of(tensor), dtype, name, batched=tensor.dim() > 0)


def _detached(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone().requires_grad_(tensor.requires_grad)
