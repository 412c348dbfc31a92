"""Reductions, and operators that make, join and move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.shapes.results import like, new


def reduce_dims(
    x: Tensor, dims: list[int] | None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor | None:
    """Mean and sum over some axes."""
    if not dims or dtype is not None or not x.dtype.is_floating_point or not x.is_contiguous():
        return None
    rank = x.dim()
    reduced = {dim % rank for dim in dims}
    if keepdim:
        return new(x, [1 if axis in reduced else side for axis, side in enumerate(x.shape)])
    return new(x, [side for axis, side in enumerate(x.shape) if axis not in reduced])


def vector_norm(
    x: Tensor, ord: float = 2, dim: list[int] | None = None, keepdim: bool = False, *,
    dtype: Any = None,
) -> Tensor | None:  # fmt: skip
    return reduce_dims(x, dim, keepdim, dtype=dtype)


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    rank, shape = first.dim(), list(first.shape)
    if rank == 0:
        return None
    dim %= rank
    total = 0
    for tensor in tensors:
        sides = list(tensor.shape)
        if len(sides) != rank or tensor.dtype != first.dtype or not tensor.is_contiguous():
            return None
        total += sides[dim]
        sides[dim] = shape[dim]
        if sides != shape:
            return None
    shape[dim] = total
    return new(first, shape)


def empty(
    size: list[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: Any = None, memory_format: Any = None,
) -> Tensor | None:  # fmt: skip
    if device is None or device.type != "meta" or layout is not torch.strided:
        return None  # without a layout the network's own code asks for meta
    if memory_format not in (None, torch.contiguous_format):
        return None
    return torch.empty(size, dtype=dtype, device="meta")


def zeros_of(gradient: Tensor, sizes: list[int], *place: Any) -> Tensor:
    """Gradients of slicing: shaped like what was sliced."""
    return new(gradient, sizes)


def clone(x: Tensor, *, memory_format: Any = None) -> Tensor | None:
    if memory_format is torch.contiguous_format:
        return new(x, x.shape)
    return like(x) if memory_format in (None, torch.preserve_format) else None


def roll(x: Tensor, shifts: Any, dims: Any = ()) -> Tensor | None:
    if not x.is_contiguous() or x.dim() == 0 or len(shifts) != len(dims) or not dims:
        return None
    return new(x, x.shape)
