"""Why another tool's figure parts from archscope's: habits, each proved by exact arithmetic.

A habit says what a tool adds to (or leaves out of) a layer.
It is a reason only where the amounts of the fewest habits sum exactly to the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import prod

from archscope.records import Layer, Product, Shape

ATTENTION_ROLES = ("query·key", "weights·value")


def _nothing(layer: Layer) -> int:
    return 0


@dataclass(frozen=True)
class Habit:
    """What a tool does that archscope does not.

    Args:
        sentence: completes "it …".
        amount: what it adds to the multiply-accumulates of one layer; negative for an omission.
        on_child: what it adds to a container that does this, without a module of its own, to what
            one of its children returns.
        rounding: how far the tool's figure of one layer may be off where it rounds.
    """

    sentence: str
    amount: Callable[[Layer], int] = _nothing
    on_child: Callable[[Layer], int] = _nothing
    rounding: Callable[[Layer], int] = _nothing


@dataclass(frozen=True)
class Reason:
    """A habit with what it amounts to here."""

    sentence: str
    amount: int


def explained(
    difference: int,
    layers: Sequence[Layer],
    habits: Sequence[Habit],
    children: Sequence[Layer] = (),
) -> tuple[Reason, ...] | None:
    """The fewest habits whose amounts sum to a difference, `None` where none do.

    Args:
        difference: the tool's figure minus archscope's, over these layers.
        layers: calls that the two figures are about.
        habits: of the tool.
        children: direct children of these calls.
    """
    found = [
        Reason(habit.sentence, amount)
        for habit in habits
        if (amount := sum(map(habit.amount, layers)))
    ]
    choices = [chosen for size in range(len(found) + 1) for chosen in combinations(found, size)]
    for chosen in choices:
        if sum(reason.amount for reason in chosen) == difference:
            return chosen
    elementwise = sum(layer.elementwise for layer in layers)
    for habit in habits:
        on_children = {amount for child in children if (amount := habit.on_child(child))}
        for chosen in choices:
            rest = difference - sum(reason.amount for reason in chosen)
            if rest in on_children and rest <= elementwise:
                return (*chosen, Reason(habit.sentence, rest))
        slack = sum(map(habit.rounding, layers))
        for chosen in choices if slack else ():
            rest = difference - sum(reason.amount for reason in chosen)
            if abs(rest) <= slack:
                return (*chosen, Reason(habit.sentence, rest))
    return None


# Amounts


def _elements(shapes: Sequence[Shape]) -> int:
    return sum(prod(int(side) for side in shape) for shape in shapes)


def _normalised(*kinds: str, affine: int, plain: int) -> Callable[[Layer], int]:
    """Operations an element of a normalisation, with and without scale and shift."""

    def amount(layer: Layer) -> int:
        if not any(kind in layer.kind for kind in kinds) or not layer.forward.operators:
            return 0
        learned = layer.params or layer.shared_params or "Frozen" in layer.kind
        return (affine if learned else plain) * _elements(layer.output_shapes)

    return amount


def _layer_norm(times: int) -> Callable[[Layer], int]:
    """For tools that look for the exact class and miss its subclasses."""
    return lambda layer: times * _elements(layer.output_shapes) * (layer.kind == "LayerNorm")


def _per_input(times: int, *kinds: str) -> Callable[[Layer], int]:
    return lambda layer: (
        times * _elements(layer.input_shapes[:1])
        if any(kind in layer.kind for kind in kinds)
        else 0
    )


def _per_output(times: int, *kinds: str) -> Callable[[Layer], int]:
    return lambda layer: (
        times * _elements(layer.output_shapes) if any(kind in layer.kind for kind in kinds) else 0
    )


def _no_attention(layer: Layer) -> int:
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


def _no_recurrence(layer: Layer) -> int:
    return -layer.macs if layer.kind in ("RNN", "LSTM", "GRU") else 0


def _no_text_padding(layer: Layer) -> int:
    return -layer.macs if isinstance(layer.setting("padding"), str) else 0


def _resized(layer: Layer) -> int:
    """Bilinear resizing by a container's own operators, as segmentation networks do last.

    A detection network's transform returns no plain tensors: there it is the images that came in.
    """
    if layer.kind == "GeneralizedRCNNTransform":
        return 4 * _elements([shape for shape in layer.input_shapes if len(shape) == 3])
    if not (layer.children and layer.elementwise):
        return 0
    return 4 * _elements([shape for shape in layer.output_shapes if len(shape) == 4])


def _copied_up(layer: Layer) -> int:
    """Nearest-neighbour resizing to every level of a feature pyramid but the coarsest given."""
    if layer.kind != "FeaturePyramidNetwork":
        return 0
    return _elements(layer.output_shapes[: len(layer.input_shapes) - 1])


def _ungrouped_weight_gradient(layer: Layer) -> int:
    """(G − 1) times the weight gradient of a convolution with G groups."""
    groups = layer.setting("groups")
    if not isinstance(groups, int) or layer.backward is None:
        return 0
    products = layer.backward.cost.products
    return (groups - 1) * sum(p.value for p in products if p.role == "weight gradient")


def _convolution_bias(layer: Layer) -> int:
    weighted = "Conv" in layer.kind and layer.setting("bias") is not False
    own = layer.params + layer.shared_params
    channels = layer.setting("out_channels")
    kernel = layer.setting("kernel_size")
    inputs, groups = layer.setting("in_channels"), layer.setting("groups")
    if not weighted or not all((channels, kernel, inputs, groups)):
        return 0
    has_bias = own == channels * (inputs // groups * prod(kernel) + 1)
    return _elements(layer.output_shapes) if has_bias else 0


def _linear_bias(layer: Layer) -> int:
    if layer.kind != "Linear" or layer.params != layer.setting("out_features") * (
        layer.setting("in_features") + 1
    ):
        return 0
    return _elements(layer.output_shapes)


def _parameters_by_batch(layer: Layer) -> int:
    """Batch times weights and bias in place of positions times weights."""
    if layer.kind != "Linear" or layer.output_shape is None:
        return 0
    return int(layer.output_shape[0]) * (layer.params + layer.shared_params) - layer.macs


def _outside_of_leaves(layer: Layer) -> int:
    leaf = "Conv" in layer.kind or layer.kind in ("Linear", "RNN", "LSTM", "GRU")
    return 0 if leaf else -layer.macs


def _adaptive_windows(layer: Layer) -> int:
    """Window size and one division per output of adaptive pooling."""
    shapes = layer.input_shape, layer.output_shape
    if not layer.kind.startswith("AdaptiveAvgPool") or None in shapes:
        return 0
    given, made = ([int(side) for side in shape or ()] for shape in shapes)
    window = prod(a // b for a, b in zip(given[2:], made[2:], strict=True) if b)
    return (window + 1) * prod(made)


def _attention_details(layer: Layer) -> int:
    """Four biases and the scaled queries, L·E each, and the softmax, heads·L·S."""
    width, heads = layer.setting("embed_dim"), layer.setting("num_heads")
    if layer.kind != "MultiheadAttention" or len(layer.input_shapes) < 2 or not width:
        return 0
    (batch, length, _), (_, source, _) = (
        [int(side) for side in shape] for shape in layer.input_shapes[:2] if len(shape) == 3
    )
    return int(batch * (5 * length * width + heads * length * source))


def _rounded_einsum(layer: Layer) -> int:
    """NumPy prints its estimate with four digits, so it is off by at most half of the last."""
    own = layer.kind in ("Linear",) or "Conv" in layer.kind
    return 0 if own else round(5e-4 * layer.macs)


BATCH_NORM = ("BatchNorm",)
OTHER_NORMS = ("LayerNorm", "GroupNorm", "InstanceNorm")

HABITS: Mapping[tuple[str, str], tuple[Habit, ...]] = {
    ("fvcore", "macs"): (
        Habit(
            "counts two operations per BatchNorm element",
            _normalised(*BATCH_NORM, affine=2, plain=1),
        ),
        Habit(
            "counts five operations per element of other normalisations",
            _normalised(*OTHER_NORMS, affine=5, plain=4),
        ),
        Habit(
            "counts adaptive average pooling",
            _per_input(1, "AdaptiveAvgPool"),
            on_child=lambda child: _elements(child.output_shapes[:1]),
        ),
        Habit("counts four operations per bilinearly resized element", _resized),
        Habit("counts one operation per copied element of a feature pyramid", _copied_up),
        Habit("misses attention", _no_attention),
        Habit("skips string padding", _no_text_padding),
        Habit("misses recurrent layers", _no_recurrence),
        Habit("takes einsum from NumPy's estimate of four digits", rounding=_rounded_einsum),
    ),
    ("torch.utils.flop_counter", "macs_training"): (
        Habit("ignores groups in the weight gradient", _ungrouped_weight_gradient),
    ),
    ("torchprofile", "macs"): (
        Habit(
            "counts one operation per normalised element",
            _normalised(*BATCH_NORM, *OTHER_NORMS, affine=1, plain=0),
        ),
        Habit("counts average pooling", _per_output(1, "AvgPool")),
        Habit("skips string padding", _no_text_padding),
    ),
    ("thop", "macs"): (
        Habit(
            "counts four operations per BatchNorm element",
            _normalised(*BATCH_NORM, affine=4, plain=2),
        ),
        Habit("counts four operations per LayerNorm element", _layer_norm(4)),
        Habit("counts adaptive average pooling", _adaptive_windows),
        Habit("counts average pooling", _per_output(1, "AvgPool1d", "AvgPool2d", "AvgPool3d")),
        Habit("misses what runs outside of convolutions and linear layers", _outside_of_leaves),
    ),
    ("ptflops", "macs"): (
        Habit(
            "counts two operations per BatchNorm element",
            _normalised(*BATCH_NORM, affine=2, plain=1),
        ),
        Habit("counts one operation per LayerNorm element", _layer_norm(1)),
        Habit("counts bias, scaling and softmax of attention", _attention_details),
        Habit("counts activations twice", _per_output(2, "ReLU", "GELU")),
        Habit("counts pooling twice", _per_input(2, "Pool")),
        Habit("counts the bias of convolutions", _convolution_bias),
        Habit("counts the bias of linear layers", _linear_bias),
    ),
    ("torchinfo", "macs"): (
        Habit("counts the bias of convolutions", _convolution_bias),
        Habit(
            "multiplies the parameters of linear layers by the batch and by no other dimension",
            _parameters_by_batch,
        ),
        Habit(
            "counts the parameters of normalisations",
            lambda layer: (layer.params + layer.shared_params) * ("Norm" in layer.kind),
        ),
        Habit("misses what runs outside of convolutions and linear layers", _outside_of_leaves),
    ),
    ("calflops", "macs"): (
        Habit("misses attention", _no_attention),
        Habit("misses recurrent layers", _no_recurrence),
    ),
}
"""By tool and quantity; a tool without habits is expected to agree exactly."""
