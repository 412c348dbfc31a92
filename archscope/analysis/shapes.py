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
        return _empty(x.shape, dtype=x.dtype, device="meta")
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
        or not len(stride) == len(padding) == len(dilation) == len(output_padding) == spatial
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
    if not (x.is_contiguous() and gradient.is_contiguous() and output_mask[0]):
        return None
    if x.dtype != torch.float32:
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
    if x.dtype != torch.float32 or not gradient.is_contiguous():
        return None
    return (
        _new(x, x.shape) if output_mask[0] else None,
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
    """Sums and products of two tensors that broadcast, or of a tensor and a number.

    Where the shapes are equal, the first tensor's order of axes decides the result's.
    """
    if not x.dtype.is_floating_point:
        return None
    if not isinstance(y, Tensor):
        return _like(x) if isinstance(y, (int, float)) else None
    if y.dtype != x.dtype:
        return None
    if x.shape == y.shape:
        if x.is_contiguous():
            return _new(x, x.shape)
        return _like(x) if x.stride() == y.stride() else _like_dense(x)
    if not (x.is_contiguous() and y.is_contiguous()):
        return None
    shape = _broadcast_shape(x.shape, y.shape)
    return None if shape is None else _new(x, shape)


def _like_dense(x: Tensor) -> Tensor | None:
    """As `_like` for a tensor whose axes are permuted and whose elements leave no gap."""
    shape, stride = x.shape, x.stride()
    expected = 1
    for step, side in sorted(zip(stride, shape, strict=True)):
        if step != expected or side == 1:
            return None
        expected *= side
    return torch.empty_strided(shape, stride, dtype=x.dtype, device="meta")


def _like_ordered(x: Tensor) -> Tensor:
    """As `torch.empty_like`: without gaps, and the axes in memory in the order of x's."""
    steps = x.stride()
    if x.is_contiguous() or 0 in steps or len(set(steps)) < len(steps):
        return _like(x)
    order = sorted(range(x.dim()), key=steps.__getitem__, reverse=True)
    dense = _new(x, [x.shape[axis] for axis in order])
    return dense.permute([order.index(axis) for axis in range(x.dim())])


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


def grouped_mm(
    a: Tensor, b: Tensor, offs: Tensor | None = None, bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor | None:  # fmt: skip
    """As CPU and GPU answer in every floating dtype, where the meta kernel takes bfloat16 alone.

    A kernel may pad the rows of the result in memory; this does not.
    """
    if a.dtype != b.dtype or bias is not None or offs is None or a.shape[-1] != b.shape[-2]:
        return None
    if a.dim() == b.dim() == 2:
        shape = [offs.shape[0], a.shape[0], b.shape[1]]
    elif {a.dim(), b.dim()} == {2, 3}:
        shape = [a.shape[-2], b.shape[-1]]
    else:
        return None
    return _empty(shape, dtype=out_dtype or a.dtype, device="meta")


def least_squares(
    a: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """As the default driver answers; there is no meta kernel."""
    if b.dim() != a.dim() or driver not in (None, "gelsy"):
        return None
    batch = a.shape[:-2]
    return (
        _new(a, [*batch, a.shape[-1], b.shape[-1]]),
        _new(a, [0]),
        _empty(batch, dtype=torch.int64, device="meta"),
        _new(a, [0]),
    )


def attention_on_cpu(
    query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor, Tensor] | None:
    """The result, laid out as the query, and the logarithms of the rows' sums."""
    if query.dim() != 4:
        return None
    batch, heads, length, _ = query.shape
    sums = torch.float32 if query.dtype in (torch.float16, torch.bfloat16) else query.dtype
    result = _like_ordered(query)
    return result, _empty((batch, length, heads), dtype=sums, device="meta").transpose(1, 2)


def attention_on_cpu_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor, ...]:
    """Gradients of the operands, positions before heads in memory."""
    return tuple(
        _new(x, (x.shape[0], x.shape[2], x.shape[1], x.shape[3])).transpose(1, 2)
        for x in (query, key, value)
    )


def softmax(x: Tensor, dim: int, half_to_float: bool = False, *args: Any) -> Tensor | None:
    if half_to_float or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return _like(x)


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
    return _new(first, shape)


def empty(
    size: list[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: Any = None, memory_format: Any = None,
) -> Tensor | None:  # fmt: skip
    if device is None or device.type != "meta" or layout not in (None, torch.strided):
        return None
    if memory_format not in (None, torch.contiguous_format):
        return None
    return _empty(size, dtype=dtype, device="meta")


def zeros_of(gradient: Tensor, sizes: list[int], *place: Any) -> Tensor:
    """Gradients of slicing: shaped like what was sliced."""
    return _new(gradient, sizes)


def clone(x: Tensor, *, memory_format: Any = None) -> Tensor | None:
    if memory_format is torch.contiguous_format:
        return _new(x, x.shape)
    return _like(x) if memory_format in (None, torch.preserve_format) else None


def compare(x: Tensor, number: float) -> Tensor | None:
    return _empty(x.shape, dtype=torch.bool, device="meta") if x.is_contiguous() else None


def roll(x: Tensor, shifts: Any, dims: Any = ()) -> Tensor | None:
    if not x.is_contiguous() or x.dim() == 0 or len(shifts) != len(dims) or not dims:
        return None
    return _new(x, x.shape)


def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor | None:
    fits = _broadcast_shape(x.shape, mask.shape) == list(x.shape)
    if not fits or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return _new(x, x.shape)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
    alike = condition.shape == x.shape == y.shape and x.dtype == y.dtype
    if not alike or not (x.is_contiguous() and y.is_contiguous() and condition.is_contiguous()):
        return None
    return _new(x, x.shape) if condition.dtype is torch.bool else None


def _pooled(
    x: Tensor, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int],
    ceil_mode: bool,
) -> list[int] | None:  # fmt: skip
    """Shape after two-dimensional pooling, `None` where the arguments are unusual or wrong."""
    if x.dim() != 4 or 0 in x.shape or ceil_mode or not x.is_contiguous() or len(kernel) != 2:
        return None
    shape = list(x.shape[:2])
    for axis in range(2):
        step, pad = (stride or kernel)[axis % len(stride or kernel)], padding[axis % len(padding)]
        reach = dilation[axis % len(dilation)] * (kernel[axis] - 1)
        side = (x.shape[2 + axis] + 2 * pad - reach - 1) // step + 1
        if side <= 0 or pad > kernel[axis] // 2:
            return None
        shape.append(side)
    return shape


def max_pool2d(
    x: Tensor, kernel: list[int], stride: list[int] = [], padding: list[int] = [0],  # noqa: B006
    dilation: list[int] = [1], ceil_mode: bool = False,  # noqa: B006
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, dilation, ceil_mode)
    if shape is None or not x.dtype.is_floating_point:
        return None
    return _new(x, shape), _empty(shape, dtype=torch.int64, device="meta")


def avg_pool2d(
    x: Tensor, kernel: list[int], stride: list[int] = [], padding: list[int] = [0],  # noqa: B006
    ceil_mode: bool = False, *rest: Any,
) -> Tensor | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, [1], ceil_mode)
    return None if shape is None or not x.dtype.is_floating_point else _new(x, shape)


def adaptive_avg_pool2d(x: Tensor, size: list[int]) -> Tensor | None:
    if x.dim() != 4 or 0 in x.shape or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return _new(x, [*x.shape[:2], *size])


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
    aten._grouped_mm.default: grouped_mm,
    aten._scaled_dot_product_flash_attention_for_cpu.default: attention_on_cpu,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: attention_on_cpu_backward,
    aten.linalg_lstsq.default: least_squares,
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
    aten.empty.memory_format: empty,
    aten.clone.default: clone,
    aten.roll.default: roll,
    aten.linalg_vector_norm.default: vector_norm,
    aten.masked_fill.Scalar: masked_fill,
    aten.where.self: where,
    aten.max_pool2d_with_indices.default: max_pool2d,
    aten.avg_pool2d.default: avg_pool2d,
    aten._adaptive_avg_pool2d.default: adaptive_avg_pool2d,
    **dict.fromkeys((aten.select_backward.default, aten.slice_backward.default), zeros_of),
    **dict.fromkeys(
        (aten.eq.Scalar, aten.ne.Scalar, aten.gt.Scalar, aten.lt.Scalar), compare
    ),
    # Views: the same kernels, called without going through the operator's schema again.
    aten.view.default: Tensor.view,
    aten._unsafe_view.default: Tensor.view,
    aten.t.default: Tensor.t,
    aten.permute.default: Tensor.permute,
    aten.transpose.int: Tensor.transpose,
    aten.unsqueeze.default: Tensor.unsqueeze,
    aten.select.int: Tensor.select,
    aten.squeeze.dim: Tensor.squeeze,
    aten.expand.default: Tensor.expand,
    aten.detach.default: Tensor.detach,
}  # fmt: skip
