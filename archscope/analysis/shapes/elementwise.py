"""Operators that answer element by element or row by row: arithmetic, activations, softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archscope.analysis.shapes.results import broadcast_shape, like, like_dense, new


def same(x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    """Activations: the result is like the input."""
    return like(x) if x.dtype.is_floating_point else None


def in_place(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Activations that overwrite their input."""
    return x


def like_gradient(gradient: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    """Gradients of activations: shaped like the incoming gradient and the saved tensor."""
    if gradient.shape != x.shape or gradient.dtype != x.dtype:
        return None
    return like(x) if x.is_contiguous() and gradient.is_contiguous() else None


def broadcast(x: Tensor, y: Any, **scales: Any) -> Tensor | None:
    """Sums and products of two tensors that broadcast, or of a tensor and a number.

    Where the shapes are equal, the first tensor's order of axes decides the result's.
    """
    if not x.dtype.is_floating_point:
        return None
    if not isinstance(y, Tensor):
        return like(x) if isinstance(y, (int, float)) else None
    if y.dtype != x.dtype:
        return None
    if x.shape == y.shape:
        if x.is_contiguous():
            return new(x, x.shape)
        return like(x) if x.stride() == y.stride() else like_dense(x)
    if not (x.is_contiguous() and y.is_contiguous()):
        return None
    shape = broadcast_shape(x.shape, y.shape)
    return None if shape is None else new(x, shape)


def broadcast_in_place(x: Tensor, y: Any, **scales: Any) -> Tensor | None:
    """Adds and products that overwrite x, when y broadcasts to its shape."""
    if isinstance(y, Tensor):
        if y.shape != x.shape and broadcast_shape(x.shape, y.shape) != list(x.shape):
            return None
        return x if y.dtype == x.dtype else None
    return x


def compare(x: Tensor, number: float) -> Tensor | None:
    return torch.empty(x.shape, dtype=torch.bool, device="meta") if x.is_contiguous() else None


def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor | None:
    fits = broadcast_shape(x.shape, mask.shape) == list(x.shape)
    if not fits or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return new(x, x.shape)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
    alike = condition.shape == x.shape == y.shape and x.dtype == y.dtype
    if not alike or not (x.is_contiguous() and y.is_contiguous() and condition.is_contiguous()):
        return None
    return new(x, x.shape) if condition.dtype is torch.bool else None


def softmax(x: Tensor, dim: int, half_to_float: bool = False, *args: Any) -> Tensor | None:
    if half_to_float or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return like(x)


def softmax_backward(gradient: Tensor, output: Tensor, dim: int, dtype: Any) -> Tensor | None:
    if dtype != gradient.dtype or not gradient.is_contiguous():
        return None
    return like(gradient)
