"""Attention: its projections, and the two products that multiply all positions with all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.records import Cost, Layer, Product
from archscope.study.explain.gradients import Operand, both_operands, is_of_matrices
from archscope.study.explain.steps import (
    backward_steps,
    chain,
    cost_steps,
    parameter_steps,
    prose,
)
from archscope.table import Step

QUERY_KEY, WEIGHTS_VALUE = "query·key", "weights·value"
BEFORE, AFTER = "input projection", "output projection"
_OPERANDS = {QUERY_KEY: ("query", "key"), WEIGHTS_VALUE: ("weights", "value")}

CLASSES = ("Attention", "Attn")
"""Modules with one of these in the name of their class compute attention."""


def attention(layer: Layer) -> list[Step]:
    """Multi-head attention (Vaswani et al. 2017, section 3.2): projections and two products."""
    width, heads = int(layer.setting("embed_dim")), int(layer.setting("num_heads"))
    products = _roles(layer.forward.cost.products, width // heads)
    expected = 4 * width * (width + 1)
    steps = [
        chain("Width of a head", "E", "D/heads", f"{width}/{heads}", str(width // heads)),
        *parameter_steps(layer, "4·D·(D + 1)", f"4·{width}·({width} + 1)", expected),
    ]
    if layer.params == expected:
        text = "query, key, value and output projections have D·D weights and D biases each."
        steps.append(prose("Parameters, parts", text))
    text = (
        "query·key and weights·value multiply all positions with all: they grow with the square "
        "of the length, the projections in proportion to it."
    )
    return [
        *steps,
        *cost_steps("MACs", Cost(products)),
        prose("Quadratic term", text),
        *backward_steps(layer, attention_operands(products)),
    ]


def _roles(products: Sequence[Product], width: int) -> tuple[Product, ...]:
    """Name what is not fused, in the order in which it runs.

    Query·key sums over the width of a head, weights·value over the keys; where there are as many
    keys as a head is wide, query·key is the first.
    """
    found: list[Product] = []
    seen: set[str] = set()
    for item in products:
        values = {factor.name: factor.value for factor in item.factors}
        if item.role or not is_of_matrices(item):
            role = item.role
        elif "B" not in values:
            role = AFTER if seen & {QUERY_KEY, WEIGHTS_VALUE} else BEFORE
        elif values["D_in"] == width and (values["D_out"] != width or QUERY_KEY not in seen):
            role = QUERY_KEY
        else:
            role = WEIGHTS_VALUE
        seen.add(role)
        found.append(Product(item.factors, role))
    return tuple(found)


def attention_operands(products: Sequence[Product]) -> list[Operand]:
    """The operands, the last product's first, as the backward pass comes to them."""
    found = []
    for item in reversed(products):
        left, right = _OPERANDS.get(item.role, (f"{item.role}, input", f"{item.role}, weight"))
        found += both_operands([item], f"{left} gradient", f"{right} gradient")
    return found


def with_roles(layer: Layer) -> Layer:
    """A layer that writes attention out, with its two products named; any other as it is.

    The products are batched, one after the other, and the second sums over what the first made:
    (heads, L, E)·(heads, E, S), then (heads, L, S)·(heads, S, E).
    """
    products = layer.forward.cost.products
    if not any(name in layer.kind for name in CLASSES) or not _written_out(products):
        return layer
    roles = (QUERY_KEY, WEIGHTS_VALUE) * (len(products) // 2)
    named = tuple(replace(item, role=role) for item, role in zip(products, roles, strict=True))
    return replace(layer, forward=replace(layer.forward, cost=Cost(named)))


def _written_out(products: Sequence[Product]) -> bool:
    if not products or len(products) % 2:
        return False
    if any(item.role or len(item.factors) != 4 or not is_of_matrices(item) for item in products):
        return False
    values = [[factor.value for factor in item.factors] for item in products]
    return all(
        first[:2] == second[:2] and first[3] == second[2]
        for first, second in zip(values[::2], values[1::2], strict=True)
    )
