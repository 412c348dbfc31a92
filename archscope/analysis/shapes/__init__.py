"""Shape rules: answers to operators on meta tensors without their kernels.

PyTorch's meta kernels of convolution, normalisation and activations are slow Python.
Each rule gives the same shapes, strides and dtypes, or declines by returning `None` when the
arguments are unusual or wrong, and then the kernel answers or raises.
`tests/analysis/test_shapes.py` proves every rule equal to its kernel over a grid of arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.shapes import arrangement, elementwise, layers, products

aten = torch.ops.aten

ShapeRule = Callable[..., Any]

RULES: dict[Any, ShapeRule] = {
    aten.convolution.default: layers.convolution,
    aten.convolution_backward.default: layers.convolution_backward,
    aten.native_batch_norm.default: layers.batch_norm,
    aten.native_batch_norm_backward.default: layers.batch_norm_backward,
    aten.native_layer_norm.default: layers.layer_norm,
    aten.native_layer_norm_backward.default: layers.layer_norm_backward,
    aten.mm.default: products.mm,
    aten.addmm.default: products.addmm,
    aten.bmm.default: products.bmm,
    aten._grouped_mm.default: products.grouped_mm,
    aten._scaled_dot_product_flash_attention_for_cpu.default: products.attention_on_cpu,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
        products.attention_on_cpu_backward,
    aten.linalg_lstsq.default: products.least_squares,
    aten._softmax.default: elementwise.softmax,
    aten._safe_softmax.default: elementwise.softmax,
    aten._softmax_backward_data.default: elementwise.softmax_backward,
    aten.mean.dim: arrangement.reduce_dims,
    aten.sum.dim_IntList: arrangement.reduce_dims,
    aten.cat.default: arrangement.concatenate,
    **dict.fromkeys(
        (
            aten.relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default,
            aten.tanh.default, aten.hardswish.default, aten.hardsigmoid.default,
            aten.hardtanh.default, aten.leaky_relu.default, aten.elu.default, aten.neg.default,
            aten.exp.default, aten.clamp.default, aten.clamp_min.default, aten.mul.Scalar,
            aten.div.Scalar, aten.add.Scalar,
        ),
        elementwise.same,
    ),
    **dict.fromkeys(
        (
            aten.relu_.default, aten.silu_.default, aten.hardswish_.default,
            aten.hardsigmoid_.default, aten.hardtanh_.default, aten.leaky_relu_.default,
            aten.sigmoid_.default, aten.elu_.default,
        ),
        elementwise.in_place,
    ),
    **dict.fromkeys(
        (
            aten.threshold_backward.default, aten.gelu_backward.default,
            aten.silu_backward.default, aten.sigmoid_backward.default, aten.tanh_backward.default,
            aten.hardswish_backward.default, aten.hardsigmoid_backward.default,
            aten.hardtanh_backward.default,
        ),
        elementwise.like_gradient,
    ),
    **dict.fromkeys(
        (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor), elementwise.broadcast
    ),
    **dict.fromkeys((aten.add_.Tensor, aten.mul_.Tensor), elementwise.broadcast_in_place),
    aten.empty.memory_format: arrangement.empty,
    aten.clone.default: arrangement.clone,
    aten.roll.default: arrangement.roll,
    aten.linalg_vector_norm.default: arrangement.vector_norm,
    aten.masked_fill.Scalar: elementwise.masked_fill,
    aten.where.self: elementwise.where,
    aten.max_pool2d_with_indices.default: layers.max_pool2d,
    aten.avg_pool2d.default: layers.avg_pool2d,
    aten._adaptive_avg_pool2d.default: layers.adaptive_avg_pool2d,
    **dict.fromkeys(
        (aten.select_backward.default, aten.slice_backward.default),
        arrangement.zeros_of,
    ),
    **dict.fromkeys(
        (aten.eq.Scalar, aten.ne.Scalar, aten.gt.Scalar, aten.lt.Scalar), elementwise.compare
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
