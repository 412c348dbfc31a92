"""Layers that multiply matrices: linear layers, attention, recurrence, embeddings."""

from __future__ import annotations

from collections import Counter

from archscope.records import Cost, Factor, Layer, Product
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


def linear(layer: Layer) -> list[Step]:
    """A linear layer: every output meets every input."""
    inputs, outputs = int(layer.setting("in_features")), int(layer.setting("out_features"))
    if layer.setting("bias"):
        rule, values = "(D_in + 1)·D_out", f"({inputs} + 1)·{outputs}"
        expected = (inputs + 1) * outputs
    else:
        rule, values, expected = "D_in·D_out", times(inputs, outputs), inputs * outputs
    steps = [
        *parameter_steps(layer, rule, values, expected),
        *cost_steps("MACs", layer.forward.cost),
    ]
    if layer.setting("bias"):
        steps.append(
            chain(
                "Connections",
                "MACs + bias terms",
                f"{number(layer.macs)} + {shape_product(layer.output_shape)}",
                number(layer.macs + elements(layer.output_shape)),
            )
        )
    return [*steps, *backward_steps(layer, lambda item: _linear_gradient(item, inputs, outputs))]


def _linear_gradient(item: Product, inputs: int, outputs: int) -> Product:
    """The input's gradient sums over the outputs, the weights' gradient over the rows."""
    values = tuple(factor.value for factor in item.factors)
    if len(values) != 3:
        return item
    if values[1] == outputs and inputs in (values[0], values[2]):
        straight = values[2] == inputs
        names = ("rows", "D_out", "D_in") if straight else ("D_in", "D_out", "rows")
        return Product(tuple(map(Factor, names, values)), "input gradient")
    if sorted((values[0], values[2])) == sorted((inputs, outputs)):
        straight = values[2] == inputs
        names = ("D_out", "rows", "D_in") if straight else ("D_in", "rows", "D_out")
        return Product(tuple(map(Factor, names, values)), "weight gradient")
    return item


def attention(layer: Layer) -> list[Step]:
    """Multi-head attention (Vaswani et al. 2017, section 3.2): projections and two products."""
    width, heads = int(layer.setting("embed_dim")), int(layer.setting("num_heads"))
    cost = Cost(tuple(_attention_role(item) for item in layer.forward.cost.products))
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
        *cost_steps("MACs", cost),
        prose("Quadratic term", text),
        *backward_steps(layer),
    ]


def _attention_role(item: Product) -> Product:
    """Name an unfused product: L×E by E×L is query·key, L×L by L×E weights·value."""
    values = {factor.name: factor.value for factor in item.factors}
    if item.role:
        return item
    if "B" not in values:
        return Product(item.factors, "projection")
    is_query_key = values["D_out"] != values["rows"] or values["D_in"] != values["rows"]
    role = "query·key" if is_query_key and values["D_in"] < values["D_out"] else "weights·value"
    return Product(item.factors, role)


_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def recurrent(layer: Layer) -> list[Step]:
    """Recurrent layers: gates·(D_in + D) weights and 2·gates biases of every unit (PyTorch)."""
    gates = _GATES[str(layer.setting("mode"))]
    inputs, width = int(layer.setting("input_size")), int(layer.setting("hidden_size"))
    directions = 2 if layer.setting("bidirectional") else 1
    bias = 2 if layer.setting("bias") is not False else 0
    text = f"each unit of the state takes {gates} weighted sums of the input and of the state."
    steps = [prose("Gates", text)]
    parts: list[str] = []
    expected = 0
    for depth in range(int(layer.setting("num_layers"))):
        side = inputs if depth == 0 else directions * width
        parts.append(f"{directions}·{gates}·{width}·({side} + {width} + {bias})")
        expected += directions * gates * width * (side + width + bias)
    rule = "directions·gates·D·(D_in + D + biases) a layer"
    held = layer.params + layer.shared_params
    if expected == held:
        steps += parameter_steps(layer, rule, " + ".join(parts), expected)
    else:
        steps.append(chain("Parameters", number(held)))
    products = (_recurrent_role(item, inputs, width) for item in layer.forward.cost.products)
    steps += cost_steps("MACs", Cost(tuple(products)))
    repeated = max(Counter(layer.forward.cost.products).values(), default=1)
    if repeated > 1:
        text = "equal products of the time steps and directions are written once with their number."
        steps.append(prose("Time steps", text))
    return [*steps, *backward_steps(layer)]


def _recurrent_role(item: Product, inputs: int, width: int) -> Product:
    """Products over the state sum over D, those over the input over D_in."""
    values = {factor.name: factor.value for factor in item.factors}
    if item.role or inputs == width or values.get("D_in") not in (inputs, width):
        return item
    if values["D_in"] == inputs:
        return Product(item.factors, "input")
    names = ("D" if factor.name == "D_in" else factor.name for factor in item.factors)
    return Product(tuple(map(Factor, names, values.values())), "state")


def embedding(layer: Layer) -> list[Step]:
    """A table: rows are looked up, nothing is multiplied."""
    rows, width = int(layer.setting("num_embeddings")), int(layer.setting("embedding_dim"))
    steps = [
        *parameter_steps(layer, "rows·D", times(rows, width), rows * width),
        prose("MACs", "none: rows are copied out of the table, and only these are read."),
    ]
    if layer.backward is not None and layer.backward.operators:
        steps.append(prose("Backward", "the gradient of the whole table is written."))
    return steps
