"""Shape rules: answers to operators on meta tensors without their kernels.

PyTorch's meta kernels of convolution, normalisation and activations are slow Python.
Each rule here gives the same shapes, strides and dtypes, or declines by returning `None` when the
arguments are unusual or wrong, and then the kernel answers or raises.
`tests/analysis/test_shapes.py` proves every rule equal to its kernel over a grid of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
_empty = torch.empty

ShapeRule = Callable[..., Any]


def _like(x: Tensor) -> Tensor:
    """As `torch.empty_like`, whose meta kernel is Python and imports sympy."""
    if x.is_contiguous():
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    return torch.empty_like(x)


def _new(x: Tensor, shape: Sequence[int]) -> Tensor:
    return _empty(shape, dtype=x.dtype, device="meta")


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Tensor | None:  # fmt: skip
    spatial = weight.dim() - 2
    shape, kernel = x.shape, weight.shape
    if (
        x.dim() != spatial + 2
        or len(stride) != spatial
        or shape[1] != (kernel[0] if transposed else kernel[1] * groups)
        or x.dtype != weight.dtype
        or not x.is_contiguous()
        or not weight.is_contiguous()
        or (bias is not None and bias.dtype != x.dtype)
    ):
        return None
    sides = []
    for axis in range(spatial):
        reach = dilation[axis] * (kernel[2 + axis] - 1)
        if transposed:
            side = (shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis] + reach
            side += output_padding[axis] + 1
        else:
            side = (shape[2 + axis] + 2 * padding[axis] - reach - 1) // stride[axis] + 1
        if side <= 0:
            return None
        sides.append(side)
    channels = kernel[1] * groups if transposed else kernel[0]
    return _new(x, [shape[0], channels, *sides])


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_sizes: list[int] | None, stride: Any,
    padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if not (x.is_contiguous() and weight.is_contiguous() and gradient.is_contiguous()):
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return (
        _like(x) if output_mask[0] else None,
        _like(weight) if output_mask[1] else None,
        _new(x, [channels]) if output_mask[2] else None,
    )


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
    """The normalised tensor and the batch's statistics.

    In evaluation mode real kernels save no statistics; the meta kernel says that they do.
    """
    if not x.is_contiguous() or (training and x.dtype != torch.float32):
        return None
    saved = [x.shape[1]] if training else [0]
    return _like(x), _new(x, saved), _new(x, saved)


def batch_norm_backward(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Any, variance: Any, saved_mean: Any,
    saved_deviation: Any, training: bool, eps: float, output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if not x.is_contiguous() or x.dtype != torch.float32 or not output_mask[0]:
        return None
    channels = [x.shape[1]]
    return (
        _like(x),
        _new(x, channels) if output_mask[1] else None,
        _new(x, channels) if output_mask[2] else None,
    )


def layer_norm(
    x: Tensor, normalized_shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    kept = x.dim() - len(normalized_shape)
    if x.dtype != torch.float32 or list(x.shape[kept:]) != list(normalized_shape):
        return None
    statistics = [*x.shape[:kept], *([1] * len(normalized_shape))]
    return _new(x, x.shape), _new(x, statistics), _new(x, statistics)


def layer_norm_backward(
    gradient: Tensor, x: Tensor, normalized_shape: list[int], mean: Any, deviation: Any,
    weight: Tensor | None, bias: Tensor | None, output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if x.dtype != torch.float32 or not x.is_contiguous():
        return None
    return (
        _like(x) if output_mask[0] else None,
        _new(x, normalized_shape) if output_mask[1] and weight is not None else None,
        _new(x, normalized_shape) if output_mask[2] and bias is not None else None,
    )


def same(x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    """Activations: the result is like the input."""
    return _like(x) if x.dtype.is_floating_point else None


def in_place(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Activations that overwrite their input."""
    return x


def like_gradient(gradient: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    """Gradients of activations: shaped like the incoming gradient and the saved tensor."""
    if gradient.shape != x.shape or gradient.dtype != x.dtype:
        return None
    return _like(x) if x.is_contiguous() and gradient.is_contiguous() else None


def broadcast(x: Tensor, y: Any, **scales: Any) -> Tensor | None:
    """Sums and products of two tensors that broadcast, or of a tensor and a number."""
    if not x.dtype.is_floating_point:
        return None
    if not isinstance(y, Tensor):
        return _like(x) if isinstance(y, (int, float)) else None
    if y.dtype != x.dtype or not y.is_meta:
        return None
    if x.shape == y.shape:
        return _like(x) if x.stride() == y.stride() else None
    if not (x.is_contiguous() and y.is_contiguous()):
        return None
    shape = _broadcast_shape(x.shape, y.shape)
    return None if shape is None else _new(x, shape)


def _broadcast_shape(a: Sequence[int], b: Sequence[int]) -> list[int] | None:
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


def broadcast_in_place(x: Tensor, y: Any, **scales: Any) -> Tensor | None:
    """Adds and products that overwrite x, when y broadcasts to its shape."""
    if isinstance(y, Tensor):
        if y.shape != x.shape and _broadcast_shape(x.shape, y.shape) != list(x.shape):
            return None
        return x if y.dtype == x.dtype else None
    return x


def mm(a: Tensor, b: Tensor) -> Tensor | None:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        return None
    return _new(a, (a.shape[0], b.shape[1]))


def addmm(bias: Tensor, a: Tensor, b: Tensor, **scales: Any) -> Tensor | None:
    if bias.dtype != a.dtype or bias.shape[-1] not in (1, b.shape[-1]) or bias.dim() != 1:
        return None
    return mm(a, b)


def bmm(a: Tensor, b: Tensor) -> Tensor | None:
    if (
        a.dim() != 3
        or b.dim() != 3
        or a.dtype != b.dtype
        or a.shape[0] != b.shape[0]
        or a.shape[2] != b.shape[1]
    ):
        return None
    return _new(a, (a.shape[0], a.shape[1], b.shape[2]))


def softmax(x: Tensor, dim: int, *args: Any) -> Tensor | None:
    return _like(x) if x.is_contiguous() and x.dtype.is_floating_point else None


def softmax_backward(gradient: Tensor, output: Tensor, dim: int, dtype: Any) -> Tensor | None:
    if dtype != gradient.dtype or not gradient.is_contiguous():
        return None
    return _like(gradient)


def reduce_dims(
    x: Tensor, dims: list[int] | None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor | None:
    """Mean and sum over some axes."""
    if not dims or dtype is not None or not x.dtype.is_floating_point or not x.is_contiguous():
        return None
    rank = x.dim()
    reduced = {dim % rank for dim in dims}
    if keepdim:
        return _new(x, [1 if axis in reduced else side for axis, side in enumerate(x.shape)])
    return _new(x, [side for axis, side in enumerate(x.shape) if axis not in reduced])


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
    return _new(first, shape)


RULES: dict[Any, ShapeRule] = {
    aten.convolution.default: convolution,
    aten.convolution_backward.default: convolution_backward,
    aten.native_batch_norm.default: batch_norm,
    aten.native_batch_norm_backward.default: batch_norm_backward,
    aten.native_layer_norm.default: layer_norm,
    aten.native_layer_norm_backward.default: layer_norm_backward,
    aten.mm.default: mm,
    aten.addmm.default: addmm,
    aten.bmm.default: bmm,
    aten._softmax.default: softmax,
    aten._safe_softmax.default: softmax,
    aten._softmax_backward_data.default: softmax_backward,
    aten.mean.dim: reduce_dims,
    aten.sum.dim_IntList: reduce_dims,
    aten.cat.default: concatenate,
    **dict.fromkeys(
        (
            aten.relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default,
            aten.tanh.default, aten.hardswish.default, aten.hardsigmoid.default,
            aten.hardtanh.default, aten.leaky_relu.default, aten.elu.default, aten.neg.default,
            aten.exp.default, aten.clamp.default, aten.clamp_min.default, aten.mul.Scalar,
            aten.div.Scalar, aten.add.Scalar,
        ),
        same,
    ),
    **dict.fromkeys(
        (
            aten.relu_.default, aten.silu_.default, aten.hardswish_.default,
            aten.hardsigmoid_.default, aten.hardtanh_.default, aten.leaky_relu_.default,
            aten.sigmoid_.default, aten.elu_.default,
        ),
        in_place,
    ),
    **dict.fromkeys(
        (
            aten.threshold_backward.default, aten.gelu_backward.default,
            aten.silu_backward.default, aten.sigmoid_backward.default, aten.tanh_backward.default,
            aten.hardswish_backward.default, aten.hardsigmoid_backward.default,
            aten.hardtanh_backward.default,
        ),
        like_gradient,
    ),
    **dict.fromkeys(
        (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor), broadcast
    ),
    **dict.fromkeys((aten.add_.Tensor, aten.mul_.Tensor), broadcast_in_place),
}  # fmt: skip
