"""Normalisation, activations, containers, and everything without a rule of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from archscope.records import Layer, Shape
from archscope.study.explain.attention import QUERY_KEY, attention_operands
from archscope.study.explain.gradients import Operand, both_operands
from archscope.study.explain.steps import (
    backward_steps,
    chain,
    cost_steps,
    elements,
    number,
    parameter_steps,
    prose,
    shape_product,
    times,
)
from archscope.table import Step


def normalisation(layer: Layer) -> list[Step]:
    """Scale and shift are parameters; running statistics are buffers (Ioffe and Szegedy 2015)."""
    steps: list[Step] = []
    channels = layer.setting("num_features") or layer.setting("num_channels")
    if channels:
        steps += parameter_steps(layer, "2·C", times(2, channels), 2 * int(channels))
    elif layer.setting("normalized_shape"):
        shape = tuple(layer.setting("normalized_shape"))
        pairs = 2 if layer.setting("bias") else 1
        rule = "2·D" if pairs == 2 else "D"
        values = times(2, *shape) if pairs == 2 else times(*shape)
        steps += parameter_steps(layer, rule, values, pairs * prod(shape))
    if layer.params:
        text = "a scale γ and a shift β, learned in training."
        steps.append(prose("Parameters, parts", text))
    if layer.buffers and channels and layer.buffers == 2 * int(channels) + 1:
        steps.append(chain("Buffers", "2·C + 1", f"2·{channels} + 1", number(layer.buffers)))
        text = "running mean and variance of each channel, number of batches: stored, not trained."
        steps.append(prose("Buffers, parts", text))
    elif channels or layer.setting("normalized_shape"):
        steps.append(prose("Buffers", "none: statistics are those of each sample."))
    return [*steps, *elementwise(layer), prose("MACs", "none: normalisation is elementwise.")]


def elementwise(layer: Layer, what: str = "outputs") -> list[Step]:
    """One operation an element, where that is what was counted.

    Args:
        layer: whose elementwise work is written out.
        what: the elements, of which there are as many as outputs.
    """
    work, size = layer.elementwise, elements(layer.output_shape)
    if not work:
        return []
    # More operations an element than operators ran is chance, such as a mean over many inputs.
    if size and work % size == 0 and work // size <= layer.forward.operators:
        each = work // size
        values = shape_product(layer.output_shape)
        if each > 1:
            return [chain("Elementwise", f"{each}·{what}", f"{each}·{values}", number(work))]
        return [chain("Elementwise", what, values, number(work))]
    return [chain("Elementwise", number(work))]


def anything(layer: Layer) -> list[Step]:
    """The record as it is, for a kind without a rule of its own."""
    held = layer.params + layer.shared_params
    steps = [
        *(parameter_steps(layer, number(held), number(held), held) if held else []),
        *cost_steps("MACs", layer.forward.cost),
        *elementwise(layer),
        *backward_steps(layer, _operands(layer)),
    ]
    if not steps:
        does = "bytes are copied" if layer.forward.operators else "its input is passed on or viewed"
        steps.append(prose("Work", f"{does}: no parameters, no MACs, no elementwise work."))
    return steps


def _operands(layer: Layer) -> list[Operand]:
    """Of products without weights: query and key of attention, else first and second operand."""
    products = layer.forward.cost.products
    if any(item.role == QUERY_KEY for item in products):
        return attention_operands(products)
    backward = reversed(products)
    return both_operands(backward, "first operand's gradient", "second operand's gradient")


def container(layer: Layer, children: Sequence[Layer]) -> list[Step]:
    """A module's own operators beside its children: concatenations, residual adds, products."""
    joined = _concatenation(layer, children)
    steps = [*joined, *(_residual_adds(layer) or (elementwise(layer) if joined else []))]
    if not steps and (layer.macs or layer.elementwise or layer.params or layer.shared_params):
        return anything(layer)
    return steps


def _residual_adds(layer: Layer) -> list[Step]:
    """Operators that read two tensors of the output's size and write one."""
    work, size = layer.forward, elements(layer.output_shape)
    adds = work.operators
    joint = work.elementwise == adds * size and work.bytes_read == 2 * work.bytes_written
    if not (adds and joint) or layer.macs or layer.params:
        return []
    text = "the branches are added element by element; an add has no weights and no MACs."
    values = shape_product(layer.output_shape)
    if adds == 1:
        line = chain("Elementwise", "outputs", values, number(work.elementwise))
    else:
        line = chain("Elementwise", f"{adds}·outputs", f"{adds}·{values}", number(work.elementwise))
    return [prose("Residual add" if adds == 1 else "Residual adds", text), line]


def _concatenation(layer: Layer, children: Sequence[Layer]) -> list[Step]:
    """Channels that add up: of several inputs, of the input and the branches, of the branches."""
    if not layer.forward.operators or layer.macs or not children:
        return []
    joined = [(layer.input_shapes, children[0].input_shape)]
    made = tuple(child.output_shapes[0] for child in children if child.output_shapes)
    joined.append(((*layer.input_shapes[:1], *made), layer.output_shape))
    joined.append((made, layer.output_shape))
    for parts, joint in joined:
        if len(parts) > 1 and _joins(parts, joint):
            channels = [int(part[1]) for part in parts]
            return [
                chain(
                    "Concatenation",
                    " + ".join(map(str, channels)),
                    f"{number(sum(channels))} channels",
                ),
                prose("Cost of it", "no parameters and no MACs; bytes are copied."),
            ]
    return []


def _joins(parts: Sequence[Shape], joint: Shape | None) -> bool:
    """Whether tensors of one size along all other axes have the channels of the whole."""
    if joint is None or any(len(part) != len(joint) or len(part) < 2 for part in parts):
        return False
    rest = (joint[0], *joint[2:])
    same = all((part[0], *part[2:]) == rest for part in parts)
    return same and sum(int(part[1]) for part in parts) == joint[1]
