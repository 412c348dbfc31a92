"""Layers that multiply matrices: linear layers, attention, recurrence, embeddings."""

from __future__ import annotations

from archscope.records import Cost, Layer, Product
from archscope.study.explain.gradients import both_operands, is_of_matrices
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
    operands = both_operands(layer.forward.cost.products, "input gradient", "weight gradient")
    return [*steps, *backward_steps(layer, operands)]


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
    products = _recurrent_roles(layer)
    steps += cost_steps("MACs", Cost(products))
    if len(set(products)) < len(products):
        text = "equal products of the time steps and directions are written once with their number."
        steps.append(prose("Time steps", text))
    return [*steps, *_recurrent_backward(layer, products)]


_CELL_GATES = {"LSTMCell": 4, "GRUCell": 3, "RNNCell": 1}


def recurrent_cell(layer: Layer) -> list[Step]:
    """One time step of one layer and direction, with or without both biases (PyTorch)."""
    gates = _CELL_GATES[layer.kind]
    inputs, width = int(layer.setting("input_size")), int(layer.setting("hidden_size"))
    text = f"each unit of the state takes {gates} weighted sums of the input and of the state."
    biased = gates * width * (inputs + width + 2)
    bias = 2 if layer.params + layer.shared_params == biased else 0  # no setting says which
    values = f"{gates}·{width}·({inputs} + {width} + {bias})"
    expected = gates * width * (inputs + width + bias)
    products = _recurrent_roles(layer)
    return [
        prose("Gates", text),
        *parameter_steps(layer, "gates·D·(D_in + D + biases)", values, expected),
        *cost_steps("MACs", Cost(products)),
        *_recurrent_backward(layer, products),
    ]


def _recurrent_backward(layer: Layer, products: tuple[Product, ...]) -> list[Step]:
    """The backward pass, its gradients named after the roles of the forward products."""
    operands = [
        operand
        for item in dict.fromkeys(products)
        for operand in both_operands(
            [item], f"{item.role} gradient", f"{item.role} weight gradient"
        )
    ]
    return backward_steps(layer, operands)


def _recurrent_roles(layer: Layer) -> tuple[Product, ...]:
    """Name a step's products by what they sum over: the input, the layer below, or the state.

    Two of equal width are named together, for then their products are equal.
    """
    width = int(layer.setting("proj_size") or layer.setting("hidden_size"))
    directions = 2 if layer.setting("bidirectional") else 1
    widths = {"input": int(layer.setting("input_size")), "state": width}
    if int(layer.setting("num_layers") or 1) > 1:
        widths["layer below"] = directions * width
    found = []
    for item in layer.forward.cost.products:
        inner = {f.name: f.value for f in item.factors}.get("D_in")
        roles = [role for role, value in widths.items() if value == inner]
        if item.role or not is_of_matrices(item):
            found.append(item)
        elif roles:
            found.append(Product(item.factors, " and ".join(roles)))
        else:
            found.append(Product(item.factors, "projection"))
    return tuple(found)


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
