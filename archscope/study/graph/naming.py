"""What a drawing calls a layer: its kind and the settings that decide its cost."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records import Layer
from archscope.study.families import family_of

ABBREVIATIONS = {
    "BatchNorm1d": "BN", "BatchNorm2d": "BN", "BatchNorm3d": "BN", "SyncBatchNorm": "BN",
    "LayerNorm": "LN", "LayerNorm2d": "LN", "GroupNorm": "GN", "RMSNorm": "RMSNorm",
    "Conv2dNormActivation": "conv · norm · act",
}  # fmt: skip

OPERATORS = {
    "add": "add", "add_": "add", "cat": "concatenate", "mul": "multiply", "mul_": "multiply",
    "max_pool2d_with_indices": "max pool", "_adaptive_avg_pool2d": "average pool",
    "native_batch_norm": "BN", "native_layer_norm": "LN", "mean": "mean", "addmm": "linear",
    "upsample_bilinear2d": "upsample", "bmm": "matrix product", "mm": "matrix product",
    "_scaled_dot_product_flash_attention_for_cpu": "attention", "_softmax": "softmax",
}  # fmt: skip
"""Words for PyTorch's operators; the others go by their own names."""

FREE = {"empty", "clone", "empty_like", "_to_copy", "detach", "copy_"}
"""Operators that make room or copy: no step of the network's idea."""

MOST_OPERATORS = 3


def operators_title(operators: Sequence[str]) -> str:
    """What a container computes itself: `add`, `add · relu`."""
    words = [OPERATORS.get(name, name.strip("_")) for name in operators if name not in FREE]
    words = list(dict.fromkeys(words)) or ["copy"]
    more = f" + {len(words) - MOST_OPERATORS} more" if len(words) > MOST_OPERATORS else ""
    return " · ".join(words[:MOST_OPERATORS]) + more


ACTIVATIONS = {"relu", "relu_", "gelu", "silu", "silu_", "hardswish", "hardswish_", "sigmoid",
               "sigmoid_", "tanh", "leaky_relu", "hardtanh", "hardtanh_"}  # fmt: skip


def operators_family(operators: Sequence[str]) -> str:
    """The family of what a container computes itself."""
    return "activation" if set(operators) <= ACTIVATIONS else "other work"


def title_of(layer: Layer) -> str:
    """A layer's kind with its size: `3×3 conv 64, /2, 32 groups`."""
    family = family_of(layer)
    if layer.children:
        return layer.kind
    if family.endswith("convolution") and layer.setting("kernel_size"):
        return _convolution(layer, family)
    if family == "pooling" and layer.setting("kernel_size"):
        kind = "max pool" if "Max" in layer.kind else "average pool"
        return f"{_sides(layer.setting('kernel_size'))} {kind}{_stride(layer)}"
    if layer.kind.startswith("AdaptiveAvgPool"):
        return "global average pool" if _is_global(layer) else "adaptive average pool"
    if family == "linear" and layer.setting("out_features"):
        return f"linear {layer.setting('out_features')}"
    if layer.setting("num_heads"):
        return f"attention, {layer.setting('num_heads')} heads"
    return ABBREVIATIONS.get(layer.kind, layer.kind)


def _convolution(layer: Layer, family: str) -> str:
    grouped = {"grouped convolution": f", {layer.setting('groups')} groups"}.get(family, "")
    depthwise = "depthwise " if family == "depthwise convolution" else ""
    transposed = "transposed " if "Transpose" in layer.kind else ""
    dilation = layer.setting("dilation")
    spread = isinstance(dilation, tuple) and max(dilation) > 1
    dilated = f", dilation {max(dilation)}" if spread else ""
    return (
        f"{_sides(layer.setting('kernel_size'))} {depthwise}{transposed}conv "
        f"{layer.setting('out_channels')}{_stride(layer)}{dilated}{grouped}"
    )


def _stride(layer: Layer) -> str:
    stride = layer.setting("stride")
    sides = set(stride) if isinstance(stride, tuple) else {stride}
    sign = "×" if "Transpose" in layer.kind else "/"
    return "" if sides <= {1, None} else f", {sign}{max(sides - {None})}"


def _sides(kernel: object) -> str:
    return "×".join(map(str, kernel)) if isinstance(kernel, tuple) else f"{kernel}×{kernel}"


def _is_global(layer: Layer) -> bool:
    shape = layer.output_shape
    return shape is not None and all(side == 1 for side in shape[2:])
