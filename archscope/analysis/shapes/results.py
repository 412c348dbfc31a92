"""Tensors on meta as a result would be: its shape, its order of axes in memory, its dtype."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_META = torch.device("meta")


def like(x: Tensor) -> Tensor:
    """As `torch.empty_like`, whose meta kernel is Python and imports sympy."""
    if x.is_contiguous():
        return new(x, x.shape)
    return torch.empty_like(x)


def new(x: Tensor, shape: Sequence[int]) -> Tensor:
    # Sizes without their name PyTorch first takes for names of axes, in nearly twice the time.
    return torch.empty(size=shape, dtype=x.dtype, device=_META)


def like_dense(x: Tensor) -> Tensor | None:
    """As `like` for a tensor whose axes are permuted and whose elements leave no gap."""
    shape, stride = x.shape, x.stride()
    expected = 1
    for step, side in sorted(zip(stride, shape, strict=True)):
        if step != expected or side == 1:
            return None
        expected *= side
    return torch.empty_strided(shape, stride, dtype=x.dtype, device="meta")


def like_ordered(x: Tensor) -> Tensor:
    """As `torch.empty_like`: without gaps, and the axes in memory in the order of x's."""
    steps = x.stride()
    if x.is_contiguous() or 0 in steps or len(set(steps)) < len(steps):
        return like(x)
    order = sorted(range(x.dim()), key=steps.__getitem__, reverse=True)
    dense = new(x, [x.shape[axis] for axis in order])
    return dense.permute([order.index(axis) for axis in range(x.dim())])


def broadcast_shape(a: Sequence[int], b: Sequence[int]) -> list[int] | None:
    if len(a) < len(b):
        a, b = b, a
    shape = list(a)
    offset = len(a) - len(b)
    for index, side in enumerate(b, start=offset):
        if side != shape[index]:
            if shape[index] != 1 and side != 1:
                return None
            shape[index] = max(side, shape[index]) if 0 not in (side, shape[index]) else 0
    return shape
