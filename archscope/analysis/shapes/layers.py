"""Convolutions, normalisations and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.shapes.results import like, like_dense, new


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
        or not (x.is_contiguous() or _images_last(x))
        or not (weight.is_contiguous() or _images_last(weight))
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
    return new(x, [shape[0], channels, *sides])


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_sizes: list[int] | None, stride: Any,
    padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if not (x.is_contiguous() and weight.is_contiguous() and gradient.is_contiguous()):
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return (
        like(x) if output_mask[0] else None,
        like(weight) if output_mask[1] else None,
        new(x, [channels]) if output_mask[2] else None,
    )


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
    """The normalised tensor and the batch's statistics.

    In evaluation mode real kernels save no statistics; the meta kernel says that they do.
    """
    if training and x.dtype != torch.float32:
        return None
    result = like(x) if x.is_contiguous() else like_dense(x) if _images_last(x) else None
    if result is None:
        return None
    saved = [x.shape[1]] if training else [0]
    return result, new(x, saved), new(x, saved)


def _images_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


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
        like(x),
        new(x, channels) if output_mask[1] else None,
        new(x, channels) if output_mask[2] else None,
    )


def layer_norm(
    x: Tensor, normalized_shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    leading = x.dim() - len(normalized_shape)
    if x.dtype != torch.float32 or list(x.shape[leading:]) != list(normalized_shape):
        return None
    statistics = [*x.shape[:leading], *([1] * len(normalized_shape))]
    return new(x, x.shape), new(x, statistics), new(x, statistics)


def layer_norm_backward(
    gradient: Tensor, x: Tensor, normalized_shape: list[int], mean: Any, deviation: Any,
    weight: Tensor | None, bias: Tensor | None, output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if x.dtype != torch.float32 or not gradient.is_contiguous():
        return None
    return (
        new(x, x.shape) if output_mask[0] else None,
        new(x, normalized_shape) if output_mask[1] and weight is not None else None,
        new(x, normalized_shape) if output_mask[2] and bias is not None else None,
    )


def _pooled(
    x: Tensor, kernel: list[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], ceil_mode: bool,
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
    x: Tensor, kernel: list[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,), ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, dilation, ceil_mode)
    if shape is None or not x.dtype.is_floating_point:
        return None
    return new(x, shape), torch.empty(shape, dtype=torch.int64, device="meta")


def avg_pool2d(
    x: Tensor, kernel: list[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    ceil_mode: bool = False, *rest: Any,
) -> Tensor | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, (1,), ceil_mode)
    return None if shape is None or not x.dtype.is_floating_point else new(x, shape)


def adaptive_avg_pool2d(x: Tensor, size: list[int]) -> Tensor | None:
    if x.dim() != 4 or 0 in x.shape or not x.is_contiguous() or not x.dtype.is_floating_point:
        return None
    return new(x, [*x.shape[:2], *size])
