"""Families of layers: few enough for a colour each, and the same in every figure and page."""

from __future__ import annotations

from archscope.records import Analysis, Layer, Node, Totals, totals

FAMILIES = (
    "convolution", "grouped convolution", "depthwise convolution", "linear", "attention",
    "recurrent", "normalisation", "activation", "pooling", "embedding", "other work", "container",
)  # fmt: skip
"""In the order of a legend."""

_ACTIVATIONS = {
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "QuickGELU", "RReLU", "ReLU",
    "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus",
    "Softshrink", "Softsign", "Swish", "Tanh", "Tanhshrink", "Threshold",
}  # fmt: skip
_RECURRENT = ("LSTM", "GRU", "RNN")


def family_of(layer: Layer) -> str:
    """What a layer is: by the products it computes, and by its class where it computes none."""
    products = layer.forward.cost.products
    if layer.kind.startswith(_RECURRENT):
        return "recurrent"
    if "Embedding" in layer.kind and not products:
        return "embedding"
    if any(product.is_convolution for product in products):
        return _convolution(layer)
    if products and ("Attention" in layer.kind or any(p.role == "query·key" for p in products)):
        return "attention"
    if products:
        return "linear"
    if "Norm" in layer.kind:
        return "normalisation"
    if "Pool" in layer.kind:
        return "pooling"
    if layer.kind in _ACTIVATIONS or layer.kind.endswith("Activation"):
        return "activation"
    return "other work" if layer.computes else "container"


def _convolution(layer: Layer) -> str:
    groups, channels = layer.setting("groups") or 1, layer.setting("in_channels")
    if groups == 1:
        return "convolution"
    return "depthwise convolution" if groups == channels else "grouped convolution"


def family_totals(analysis: Analysis) -> dict[str, Totals]:
    """The totals of each family; they add up to those of the network.

    A module that is not called belongs to the call that computes with its parameters, such as the
    output projection of `nn.MultiheadAttention`.
    """
    members: dict[str, list[Layer]] = {}

    def visit(node: Node, around: str) -> None:
        own = family_of(node.layer) if node.layer.called else around
        members.setdefault(own, []).append(node.layer)
        for child in node.children:
            visit(child, own)

    for node in analysis.tree():
        visit(node, "container")
    return {family: totals(members[family]) for family in FAMILIES if family in members}
