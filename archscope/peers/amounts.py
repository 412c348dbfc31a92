"""Amounts that tools add for an operator or a layer, or leave out: whole numbers of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod

from archscope.peers.reasons import Operator
from archscope.records import Layer, Product, Shape

ATTENTION_ROLES = ("query·key", "weights·value")
RECURRENT = ("RNN", "LSTM", "GRU")


def _elements(shapes: Sequence[Shape]) -> int:
    return sum(prod(int(side) for side in shape) for shape in shapes)


# Operators


def per_output(times: int, *names: str) -> Callable[[Operator], int]:
    """So many operations per element that an operator of these names writes."""
    return lambda ran: times * _elements(ran.outputs[:1]) if _plain(ran) in names else 0


def per_input(times: int, *names: str) -> Callable[[Operator], int]:
    """So many operations per element that an operator of these names reads."""
    return lambda ran: times * _elements([_shape(ran, 0)]) if _plain(ran) in names else 0


ONE_POSITION = {(-1, -2): "_adaptive_avg_pool2d", (-1, -2, -3): "_adaptive_avg_pool3d"}


def _plain(operator: Operator) -> str:
    """The name without the mark of an operator that works in place.

    PyTorch runs adaptive average pooling to one position as a mean over the last sides.
    """
    name = operator.name
    if name == "mean" and operator.arguments[2:3] == (True,):
        return ONE_POSITION.get(operator.arguments[1], name)  # type: ignore[arg-type]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _shape(operator: Operator, place: int) -> Shape:
    """Shape of a tensor argument; empty where it is left out."""
    argument = operator.arguments[place] if place < len(operator.arguments) else None
    return argument if isinstance(argument, tuple) else ()


SCALES = {"native_batch_norm": 1, "native_layer_norm": 2, "native_group_norm": 1}
"""Where each normalisation takes its scale, which it may lack."""


def normalised(*names: str, affine: int, plain: int) -> Callable[[Operator], int]:
    """Operations per normalised element, with and without a scale."""

    def amount(operator: Operator) -> int:
        if operator.name not in names:
            return 0
        scaled = bool(_shape(operator, SCALES[operator.name]))
        return (affine if scaled else plain) * _elements(operator.outputs[:1])

    return amount


def with_running_statistics(counted: Callable[[Operator], int]) -> Callable[[Operator], int]:
    return lambda ran: 0 if _own_statistics(ran) else counted(ran)


def with_own_statistics(counted: Callable[[Operator], int]) -> Callable[[Operator], int]:
    return lambda ran: counted(ran) if _own_statistics(ran) else 0


def _own_statistics(operator: Operator) -> bool:
    """Whether a normalisation measures its input: instance norm does by BatchNorm's operator."""
    return operator.name != "native_batch_norm" or operator.arguments[5] is True


def convolution_bias(operator: Operator) -> int:
    if operator.name != "convolution" or not _shape(operator, 2):
        return 0
    return _elements(operator.outputs[:1])


def transposed(theirs: Callable[[Operator], int]) -> Callable[[Operator], int]:
    """What a tool counts for a transposed convolution beyond input positions × weights."""

    def amount(operator: Operator) -> int:
        if operator.name != "convolution" or operator.arguments[6] is not True:
            return 0
        return theirs(operator) - _input_positions(operator) * _elements([_shape(operator, 1)])

    return amount


def _input_positions(operator: Operator) -> int:
    given, weight = _shape(operator, 0), _shape(operator, 1)
    return _elements([given]) // int(weight[0])


def inputs_of_a_group(operator: Operator) -> int:
    """Every output element sees the inputs of its group through the whole kernel."""
    weight, groups = _shape(operator, 1), int(operator.arguments[8])  # type: ignore[arg-type]
    return _elements(operator.outputs[:1]) * (int(weight[0]) // groups) * _elements([weight[2:]])


def inputs_by_shape(operator: Operator) -> int:
    """As before, of a weight that is taken for a plain one where its first side is the outputs."""
    weight, outputs = _shape(operator, 1), operator.outputs[0][1]
    inputs = int(weight[1] if weight[0] == outputs else weight[0])
    return _elements(operator.outputs[:1]) * inputs * _elements([weight[2:]])


def groups_twice(operator: Operator) -> int:
    """The outputs of a group divided by the groups again."""
    (inputs, outputs, *kernel), groups = _shape(operator, 1), int(operator.arguments[8])  # type: ignore[arg-type]
    filters = int(outputs) // groups
    return _input_positions(operator) * int(inputs) * filters * _elements([tuple(kernel)])


def softmax(operator: Operator) -> int:
    """Exponentials, sums and divisions: 3·n − 1 for n elements."""
    if operator.name != "softmax":
        return 0
    shape = _shape(operator, 0)
    features = int(shape[int(operator.arguments[1])])  # type: ignore[arg-type]
    return _elements([shape]) // features * (3 * features - 1)


# Layers


def missed_outside_of_leaves(layer: Layer) -> int:
    return 0 if _is_leaf(layer) else -layer.macs


def missed_leaf(layer: Layer) -> int:
    return -layer.macs if _is_leaf(layer) else 0


def _is_leaf(layer: Layer) -> bool:
    return not layer.children and ("Conv" in layer.kind or layer.kind in ("Linear", *RECURRENT))


def no_attention(layer: Layer) -> int:
    return -sum(product.value for product in attention_products(layer))


def attention_products(layer: Layer) -> list[Product]:
    """Query·key and weights·value, as one fused operator or as two batched matrix products.

    Two batched products are those of attention where the second takes what the first gives:
    (B, L, E)·(B, E, S), then (B, L, S)·(B, S, E).
    """
    products = layer.forward.cost.products
    found = [product for product in products if product.role in ATTENTION_ROLES]
    batched = [product for product in products if product.factors[0].name == "B"]
    for first, second in pairwise(batched):
        a, b = ([factor.value for factor in product.factors] for product in (first, second))
        if a[:2] == b[:2] and a[3] == b[2]:
            found += [first, second]
    return found


def scaling_and_softmax(layer: Layer) -> int:
    """Scaled queries, heads·L·E, and the softmax, heads·L·S."""
    total = 0
    for product in attention_products(layer)[::2]:
        *leading, length, inner, outer = (factor.value for factor in product.factors)
        total += prod(leading) * length * (inner + outer)
    return total


def no_batched_products(layer: Layer) -> int:
    products = layer.forward.cost.products
    return -sum(product.value for product in products if product.factors[0].name == "B")


def no_functional_linear(layer: Layer) -> int:
    """Products with weights in a module that is no linear layer or convolution itself."""
    others = -no_batched_products(layer) + sum(
        product.value
        for product in layer.forward.cost.products
        if product.role in ATTENTION_ROLES and product.factors[0].name != "B"
    )
    return 0 if _is_leaf(layer) else others - layer.macs


def no_recurrence(layer: Layer) -> int:
    return -layer.macs if layer.kind in RECURRENT else 0


def no_text_padding(layer: Layer) -> int:
    return -layer.macs if isinstance(layer.setting("padding"), str) else 0


def ungrouped_weight_gradient(layer: Layer) -> int:
    """(G − 1) times the weight gradient of a convolution with G groups."""
    groups = layer.setting("groups")
    if not isinstance(groups, int) or layer.backward is None:
        return 0
    products = layer.backward.cost.products
    return (groups - 1) * sum(p.value for p in products if p.role == "weight gradient")


def linear_bias(layer: Layer) -> int:
    outputs, inputs = layer.setting("out_features"), layer.setting("in_features")
    if not isinstance(outputs, int) or not isinstance(inputs, int):
        return 0
    if layer.params + layer.shared_params != outputs * (inputs + 1):
        return 0
    return _elements(layer.output_shapes)


def parameters_by_batch(layer: Layer) -> int:
    """Batch times parameters in place of what the layer does."""
    if "Conv" in layer.kind or layer.children or not layer.output_shapes:
        return 0
    shape = layer.output_shapes[0]
    parameters = layer.params + layer.shared_params
    return int(shape[0]) * parameters - layer.macs if shape and parameters else 0


def kinds(*kinds: str) -> Callable[[Callable[[Layer], int]], Callable[[Layer], int]]:
    """Confine an amount to layers whose class has one of these in its name."""
    return lambda amount: (
        lambda layer: amount(layer) if any(kind in layer.kind for kind in kinds) else 0
    )


def adaptive_windows(layer: Layer) -> int:
    """Window size and one division per output of adaptive pooling."""
    shapes = layer.input_shape, layer.output_shape
    if not layer.kind.startswith("AdaptiveAvgPool") or None in shapes:
        return 0
    given, made = ([int(side) for side in shape or ()] for shape in shapes)
    window = prod(Fraction(a, b) for a, b in zip(given[2:], made[2:], strict=True))
    return int((window + 1) * prod(made))


def attention_details(layer: Layer) -> int:
    """Four biases and the scaled queries, L·E each, and the softmax, heads·L·S."""
    width, heads = layer.setting("embed_dim"), layer.setting("num_heads")
    if layer.kind != "MultiheadAttention" or len(layer.input_shapes) < 2 or not width:
        return 0
    if any(len(shape) != 3 for shape in layer.input_shapes[:2]):
        return 0
    (batch, length, _), (_, source, _) = (
        [int(side) for side in shape] for shape in layer.input_shapes[:2]
    )
    return int(batch * (5 * length * width + heads * length * source))


def rounded_einsum(layer: Layer) -> int:
    """NumPy prints its estimate with four digits, so it is off by at most half of the last."""
    return 0 if layer.kind == "Linear" or "Conv" in layer.kind else round(5e-4 * layer.macs)
