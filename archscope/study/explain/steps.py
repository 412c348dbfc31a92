"""Arithmetic as text: a rule in letters, the same with its numbers, and the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from archscope.records import Cost, Layer, Shape
from archscope.study.explain import gradients
from archscope.study.explain.gradients import Operand
from archscope.table import Step


def number(value: int) -> str:
    """A result, with thousands separators."""
    return f"{value:,}"


def chain(label: str, *sides: str) -> Step:
    """`MACs: N·D_in·D_out = 1·400·120 = 48,000`; a side that repeats the one before is left out."""
    distinct = [side for index, side in enumerate(sides) if index == 0 or side != sides[index - 1]]
    return Step(label, " = ".join(distinct))


def prose(label: str, text: str) -> Step:
    return Step(label, text, "prose")


def times(*values: int | str) -> str:
    """`1·6·28`."""
    return "·".join(str(value) for value in values)


def cost_steps(label: str, cost: Cost) -> list[Step]:
    """One line for each product of a cost, equal ones together; then their sum."""
    groups = Counter(cost.products)
    steps = []
    for item, count in groups.items():
        names = [f"({f.name})" if "/" in f.name else f.name for f in item.factors]
        values: list[int | str] = [factor.value for factor in item.factors]
        again: list[int | str] = [count] if count > 1 else []
        role = f", {item.role}" if item.role else ""
        steps.append(
            chain(
                f"{label}{role}",
                times(*again, *names),
                times(*again, *values),
                number(count * item.value),
            )
        )
    if len(groups) > 1:
        parts = " + ".join(number(count * item.value) for item, count in groups.items())
        steps.append(chain(f"{label}, together", parts, number(cost.macs)))
    return steps


def backward_steps(layer: Layer, operands: Sequence[Operand] = ()) -> list[Step]:
    """Multiply-accumulates of the backward pass, and why the first layer has fewer.

    Args:
        layer: counted with a backward pass, or nothing is said.
        operands: whose gradients its products are; see `gradients.named`.
    """
    if layer.backward is None or not layer.macs:
        return []
    cost = gradients.named(layer.backward.cost, operands)
    steps = cost_steps("Backward MACs", cost)
    if not cost.products:
        return [prose("Backward MACs", "0: no gradient is needed here.")]
    ratio = cost.macs / layer.macs
    if ratio == 1:
        reason = "nothing before this layer needs a gradient, as the network's input has none"
        if layer.params and not layer.trainable_params:
            reason = "its weights are frozen"
        steps.append(prose("Why 1× forward", f"one gradient only: {reason}."))
    elif ratio == 2:
        if {item.role for item in cost.products} <= {"weight gradient", "input gradient"}:
            reason = (
                "the gradient of the weights and the gradient of the input each cost as much as "
                "the forward pass."
            )
        else:
            reason = "a product has two operands, and the gradient of each costs as much as it."
        steps.append(prose("Why 2× forward", reason))
    return steps


def elements(shape: Shape | None) -> int:
    """How many numbers a tensor holds."""
    return prod(int(side) for side in shape or ())


def shape_product(shape: Shape | None) -> str:
    """`1·64·56·56`."""
    return times(*(shape or (1,)))


def parameter_steps(layer: Layer, rule: str, values: str, expected: int) -> list[Step]:
    """The parameters by a rule, where the rule gives what was counted; else what was counted."""
    steps = []
    held = layer.params + layer.shared_params
    if expected == held:
        steps.append(chain("Parameters", rule, values, number(expected)))
    elif held:
        steps.append(chain("Parameters", number(held)))
    if layer.shared_params:
        steps.append(
            prose(
                "Shared",
                f"{number(layer.shared_params)} of them were counted where they are used first.",
            )
        )
    if layer.params and layer.trainable_params < layer.params:
        frozen = layer.params - layer.trainable_params
        steps.append(prose("Frozen", f"{number(frozen)} of them get no gradient."))
    return steps


def pair(value: object, axes: int) -> tuple[int, ...]:
    """One number for each axis, from a number or a tuple."""
    if isinstance(value, (tuple, list)):
        return tuple(int(v) for v in value)
    return (int(str(value)),) * axes


AXES: dict[int, Sequence[tuple[str, str]]] = {
    1: (("L", "length"),),
    2: (("H", "height"), ("W", "width")),
    3: (("D", "depth"), ("H", "height"), ("W", "width")),
}
"""Letter and noun of the spatial axes by their number."""
