"""Layers that slide a window: convolutions and pooling."""

from __future__ import annotations

from math import prod

from archscope.records import Layer
from archscope.study.explain.steps import (
    AXES,
    backward_steps,
    chain,
    cost_steps,
    elements,
    number,
    pair,
    parameter_steps,
    prose,
    shape_product,
    times,
)
from archscope.table import Step


def convolution(layer: Layer) -> list[Step]:
    """Output size, parameters, MACs, connections and backward of a convolution."""
    kernel = tuple(layer.setting("kernel_size"))
    axes = len(kernel)
    transposed = bool(layer.setting("transposed"))
    sizes = _transposed_sizes if transposed else _sizes
    return [
        *sizes(layer, kernel),
        *_kind_of_convolution(layer, kernel),
        *_parameters(layer, kernel, transposed, axes),
        *cost_steps("MACs", layer.forward.cost),
        *_connections(layer),
        *backward_steps(layer),
    ]


def _sides(layer: Layer, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, after = layer.input_shape or (), layer.output_shape or ()
    return tuple(int(s) for s in before[-axes:]), tuple(int(s) for s in after[-axes:])


def _sizes(layer: Layer, kernel: tuple[int, ...]) -> list[Step]:
    """⌊(H + 2·P − D·(K − 1) − 1)/S⌋ + 1, shorter without dilation (PyTorch, Conv2d)."""
    axes = len(kernel)
    before, after = _sides(layer, axes)
    padding = layer.setting("padding")
    if padding == "same":
        return [prose("Output size", "padding 'same' keeps height and width.")]
    pads = (0,) * axes if padding == "valid" else pair(padding, axes)
    strides = pair(layer.setting("stride"), axes)
    dilations = pair(layer.setting("dilation"), axes)
    steps = []
    for axis, (letter, noun) in enumerate(AXES[axes]):
        side, k, s, p, d = before[axis], kernel[axis], strides[axis], pads[axis], dilations[axis]
        if d == 1:
            rule = f"⌊({letter} + 2·P − K)/S⌋ + 1"
            values = f"⌊({side} + 2·{p} − {k})/{s}⌋ + 1"
        else:
            rule = f"⌊({letter} + 2·P − D·(K − 1) − 1)/S⌋ + 1"
            values = f"⌊({side} + 2·{p} − {d}·({k} − 1) − 1)/{s}⌋ + 1"
        name = f"{letter}_out"
        steps.append(chain(f"Output {noun}", name, rule, values, str(after[axis])))
    return steps


def _transposed_sizes(layer: Layer, kernel: tuple[int, ...]) -> list[Step]:
    """(H − 1)·S − 2·P + D·(K − 1) + O + 1 (PyTorch, ConvTranspose2d)."""
    axes = len(kernel)
    before, after = _sides(layer, axes)
    settings = [pair(layer.setting(key), axes) for key in ("stride", "padding", "dilation")]
    strides, pads, dilations = settings
    steps = []
    for axis, (letter, noun) in enumerate(AXES[axes]):
        side, k, s, p, d = before[axis], kernel[axis], strides[axis], pads[axis], dilations[axis]
        # `output_size` at the call may override the constructor's output padding.
        extra = after[axis] - ((side - 1) * s - 2 * p + d * (k - 1) + 1)
        steps.append(
            chain(
                f"Output {noun}",
                f"{letter}_out",
                f"({letter} − 1)·S − 2·P + D·(K − 1) + O + 1",
                f"({side} − 1)·{s} − 2·{p} + {d}·({k} − 1) + {extra} + 1",
                str(after[axis]),
            )
        )
    return steps


def _kind_of_convolution(layer: Layer, kernel: tuple[int, ...]) -> list[Step]:
    """What groups, dilation and transposition do to the count, in words."""
    groups = int(layer.setting("groups") or 1)
    inputs, outputs = int(layer.setting("in_channels")), int(layer.setting("out_channels"))
    steps = []
    if groups > 1 and groups == inputs:
        steps.append(
            prose("Depthwise", f"G = {groups} = C_in: each filter sees one channel, C_in/G = 1.")
        )
    elif groups > 1:
        text = (
            f"G = {groups}: each filter sees {inputs}/{groups} = {inputs // groups} of {inputs} "
            f"channels, so parameters and MACs are 1/{groups} of those of a dense one; "
            f"each group makes {outputs // groups} channels."
        )
        steps.append(prose("Groups", text))
    dilations = pair(layer.setting("dilation"), len(kernel))
    if any(d > 1 for d in dilations):
        spans = "×".join(str(d * (k - 1) + 1) for d, k in zip(dilations, kernel, strict=True))
        text = f"the kernel reaches over {spans} inputs without more weights: MACs stay the same."
        steps.append(prose("Dilation", text))
    if layer.setting("transposed"):
        text = (
            "each input position is multiplied by the whole kernel, so input positions are counted."
        )
        steps.append(prose("Transposed", text))
    return steps


def _parameters(layer: Layer, kernel: tuple[int, ...], transposed: bool, axes: int) -> list[Step]:
    groups = int(layer.setting("groups") or 1)
    inputs, outputs = int(layer.setting("in_channels")), int(layer.setting("out_channels"))
    bias = bool(layer.setting("bias"))
    window = ("K",) if axes == 1 else tuple(f"K_{letter.lower()}" for letter, _ in AXES[axes])
    if transposed:
        rule, values = times("C_in", "C_out/G", *window), times(inputs, outputs // groups, *kernel)
        expected = inputs * (outputs // groups) * prod(kernel)
        if bias:
            rule, values, expected = f"{rule} + C_out", f"{values} + {outputs}", expected + outputs
        return parameter_steps(layer, rule, values, expected)
    seen = "(C_in/G)" if groups > 1 else "C_in"
    inner, numbers = times(seen, *window), times(inputs // groups, *kernel)
    expected = (inputs // groups) * prod(kernel) * outputs
    if bias:
        return parameter_steps(
            layer, f"({inner} + 1)·C_out", f"({numbers} + 1)·{outputs}", expected + outputs
        )
    return parameter_steps(layer, f"{inner}·C_out", f"{numbers}·{outputs}", expected)


def _connections(layer: Layer) -> list[Step]:
    """MACs and bias terms: LeCun et al. (1998, section II.B) count both as connections."""
    if not layer.setting("bias"):
        return []
    terms = elements(layer.output_shape)
    return [
        chain(
            "Connections",
            "MACs + bias terms",
            f"{number(layer.macs)} + {shape_product(layer.output_shape)}",
            number(layer.macs + terms),
        )
    ]


def pooling(layer: Layer) -> list[Step]:
    """Output size with floor or ceiling, and the elementwise work of the window."""
    after = layer.output_shape or ()
    raw = layer.setting("kernel_size")
    axes = int(layer.kind.removesuffix("d")[-1])
    kernel = pair(raw, axes)
    strides = pair(layer.setting("stride") or raw, axes)
    pads = pair(layer.setting("padding") or 0, axes)
    dilations = pair(layer.setting("dilation") or 1, axes)
    ceil = bool(layer.setting("ceil_mode"))
    low, high = ("⌈", "⌉") if ceil else ("⌊", "⌋")
    before, sides = _sides(layer, axes)
    steps = []
    for axis, (letter, noun) in enumerate(AXES[axes]):
        side, s, p = before[axis], strides[axis], pads[axis]
        k = dilations[axis] * (kernel[axis] - 1) + 1
        steps.append(
            chain(
                f"Output {noun}",
                f"{letter}_out",
                f"{low}({letter} + 2·P − K)/S{high} + 1",
                f"{low}({side} + 2·{p} − {k})/{s}{high} + 1",
                str(-(-(side + 2 * p - k) // s) + 1 if ceil else (side + 2 * p - k) // s + 1),
            )
        )
        if ceil:
            steps += _ceiling(noun, (side, k, s, p), sides[axis])
    window = times(*kernel)
    steps.append(
        chain(
            "Elementwise",
            "outputs·window",
            f"{shape_product(after)}·{window}",
            number(elements(after) * prod(kernel)),
        )
        if elements(after) * prod(kernel) == layer.elementwise
        else chain("Elementwise", number(layer.elementwise))
    )
    return [*steps, prose("Parameters", "none, and no MACs: nothing is weighted.")]


def _ceiling(noun: str, sizes: tuple[int, int, int, int], actual: int) -> list[Step]:
    """What ceil mode adds, and the window that PyTorch drops because it starts in the padding."""
    side, kernel, stride, pad = sizes
    floor = (side + 2 * pad - kernel) // stride + 1
    rounded = -(-(side + 2 * pad - kernel) // stride) + 1
    if actual != rounded:
        text = f"the last window would start beyond the input, so it is dropped: {actual}."
    elif rounded != floor:
        text = f"one more window than with the floor, partly outside the input: {floor} + 1."
    else:
        text = "here the same as the floor."
    return [prose(f"Ceiling, {noun}", text)]


def adaptive_pooling(layer: Layer) -> list[Step]:
    """Pooling to a given output size: every input element is met once (or about once)."""
    return [
        prose("Output size", "given, whatever the input: windows are as large as needed."),
        chain("Elementwise", number(layer.elementwise)),
        prose("Parameters", "none, and no MACs: nothing is weighted."),
    ]
