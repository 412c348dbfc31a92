"""What each tool is known to add to, or to leave out of, the multiply-accumulates of a network."""

from __future__ import annotations

from collections.abc import Mapping

from archscope.peers.amounts import (
    SCALES,
    adaptive_windows,
    attention_details,
    convolution_bias,
    groups_twice,
    inputs_by_shape,
    inputs_of_a_group,
    kinds,
    linear_bias,
    missed_leaf,
    missed_outside_of_leaves,
    no_attention,
    no_batched_products,
    no_functional_linear,
    no_recurrence,
    no_text_padding,
    normalised,
    parameters_by_batch,
    per_input,
    per_output,
    rounded_einsum,
    scaling_and_softmax,
    softmax,
    transposed,
    ungrouped_weight_gradient,
    with_own_statistics,
    with_running_statistics,
)
from archscope.peers.reasons import Convention

ACTIVATIONS = ("relu", "elu", "gelu", "silu", "hardtanh", "leaky_relu", "_prelu_kernel", "_softmax")
POOLS = (
    "max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d",
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d",
)  # fmt: skip


NORMS = tuple(SCALES)
OUTSIDE = "misses what runs outside of the layers that it knows"
NO_ATTENTION = Convention("misses attention", no_attention)
NO_BATCHED_PRODUCTS = Convention("misses batched matrix products", no_batched_products)
NO_RECURRENCE = Convention("misses recurrent layers", no_recurrence)
NO_TEXT_PADDING = Convention("skips string padding", no_text_padding)
SUBCLASSES = Convention("misses subclasses of PyTorch's layers", missed_leaf)
CONVOLUTION_BIAS = Convention("counts the bias of convolutions", operator=convolution_bias)
EVERY_NAME = Convention("counts a shared module again under each of its names", separate="again")
BILINEAR = Convention(
    "counts four operations per bilinearly resized element",
    operator=per_output(4, "upsample_bilinear2d"),
)
GRID_SAMPLER = Convention(
    "counts four operations per grid-sampled element",
    operator=per_output(4, "grid_sampler_2d", "grid_sampler_3d"),
)

FVCORE = (
    Convention(
        "counts two operations per BatchNorm element",
        operator=with_running_statistics(normalised("native_batch_norm", affine=2, plain=1)),
    ),
    Convention(
        "counts five operations per element of other normalisations",
        operator=with_own_statistics(normalised(*NORMS, affine=5, plain=4)),
    ),
    Convention("counts adaptive average pooling", operator=per_input(1, "_adaptive_avg_pool2d")),
    BILINEAR,
    Convention(
        "counts one operation per copied element of nearest resizing",
        operator=per_output(1, "upsample_nearest2d"),
    ),
    GRID_SAMPLER,
    NO_ATTENTION,
    NO_BATCHED_PRODUCTS,
    NO_TEXT_PADDING,
    NO_RECURRENCE,
    Convention("takes einsum from NumPy's estimate of four digits", rounding=rounded_einsum),
)

TORCHPROFILE = (
    Convention(
        "counts one operation per normalised element",
        operator=normalised(*NORMS, affine=1, plain=0),
    ),
    Convention(
        "counts average pooling",
        operator=per_output(
            1, "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "mean"
        ),
    ),
    Convention("counts elementwise products", operator=per_output(1, "mul")),
    Convention("counts products of sizes", separate="sizes"),
    Convention("counts one operation per leaky ReLU", operator=per_output(1, "leaky_relu")),
    BILINEAR,
    GRID_SAMPLER,
    Convention(
        "counts transposed convolutions by output positions",
        operator=transposed(inputs_by_shape),
    ),
    NO_TEXT_PADDING,
    NO_RECURRENCE,
)

THOP = (
    EVERY_NAME,
    Convention(
        "counts four operations per normalised element",
        operator=normalised(*NORMS, affine=4, plain=2),
    ),
    Convention("counts adaptive average pooling", adaptive_windows),
    Convention("counts average pooling", operator=per_output(1, "avg_pool2d", "avg_pool3d")),
    Convention("counts softmax", operator=softmax),
    Convention("counts parametric ReLU", operator=per_input(1, "_prelu_kernel")),
    Convention(
        "counts transposed convolutions by output positions",
        operator=transposed(inputs_of_a_group),
    ),
    Convention(OUTSIDE, missed_outside_of_leaves),
    SUBCLASSES,
)

PTFLOPS = (
    EVERY_NAME,
    Convention(
        "counts two operations per BatchNorm or GroupNorm element",
        operator=normalised("native_batch_norm", "native_group_norm", affine=2, plain=1),
    ),
    Convention(
        "counts one operation per LayerNorm element",
        operator=normalised("native_layer_norm", affine=1, plain=1),
    ),
    Convention("counts bias, scaling and softmax of attention", attention_details),
    Convention("counts scaling and softmax of attention", scaling_and_softmax),
    Convention("counts activations", operator=per_input(1, *ACTIVATIONS)),
    Convention("counts activations twice", operator=per_input(2, *ACTIVATIONS)),
    Convention("counts pooling", operator=per_input(1, *POOLS)),
    Convention("counts pooling twice", operator=per_input(2, *POOLS)),
    Convention("counts sums that are function calls", operator=per_output(1, "add")),
    Convention("counts products that are function calls", operator=per_output(1, "mul")),
    Convention(
        "counts resizing",
        operator=per_output(1, "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d"),
    ),
    CONVOLUTION_BIAS,
    Convention("counts the bias of linear layers", linear_bias),
    Convention("misses linear layers that are function calls", no_functional_linear),
    NO_ATTENTION,
    NO_BATCHED_PRODUCTS,
    Convention(OUTSIDE, missed_outside_of_leaves),
    Convention("misses subclasses of PyTorch's layers, and layers inside attention", missed_leaf),
)

TORCHINFO = (
    CONVOLUTION_BIAS,
    Convention(
        "multiplies the parameters of linear layers by the batch and by no other dimension",
        kinds("Linear")(parameters_by_batch),
    ),
    Convention("counts the parameters of normalisations", kinds("Norm")(parameters_by_batch)),
    Convention("counts the parameters of embeddings", kinds("Embedding")(parameters_by_batch)),
    Convention(
        "counts transposed convolutions by output positions",
        operator=transposed(inputs_of_a_group),
    ),
    Convention(OUTSIDE, missed_outside_of_leaves),
)

CALFLOPS = (
    EVERY_NAME,
    Convention(
        "divides transposed convolutions by the groups twice", operator=transposed(groups_twice)
    ),
    NO_ATTENTION,
    NO_BATCHED_PRODUCTS,
    NO_RECURRENCE,
    Convention(OUTSIDE, missed_outside_of_leaves),
)

CONVENTIONS: Mapping[tuple[str, str], tuple[Convention, ...]] = {
    ("fvcore", "macs"): FVCORE,
    ("torch.utils.flop_counter", "macs_training"): (
        Convention("ignores groups in the weight gradient", ungrouped_weight_gradient),
    ),
    ("torchprofile", "macs"): TORCHPROFILE,
    ("thop", "macs"): THOP,
    ("ptflops", "macs"): PTFLOPS,
    ("torchinfo", "macs"): TORCHINFO,
    ("calflops", "macs"): CALFLOPS,
}
"""By tool and quantity; a tool without conventions is expected to agree exactly."""
