"""Attention, recurrence and layers that a backend runs as one operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

from archscope.analysis.ops import Sized, Tally, named, product
from archscope.records import Cost, Product


def attention(
    query: Sized, key: Sized, value: Sized, *rest: Any, out: Any, **options: Any
) -> Tally:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1).

    Args:
        query: (N, heads, L, E).
        key: (N, heads, S, E).
        value: (N, heads, S, E_v).
        rest: masks and dropout, without multiply-accumulates.
        out: the result.
        options: scale and flags.
    """
    *leading, length, width = query.shape
    source, value_width = value.shape[-2], value.shape[-1]
    return Tally(
        Cost(
            (
                _attention_product(leading, length, source, width, "query·key"),
                _attention_product(leading, length, source, value_width, "weights·value"),
            )
        ),
        elementwise=2 * prod(leading) * length * source,
    )


def attention_backward(
    gradient: Sized, query: Sized, key: Sized, value: Sized, *rest: Any, out: Any, **options: Any
) -> Tally:
    """Gradients of query, key, weights and value: four products.

    A fused kernel may compute query·key once more; that depends on the kernel and is left out,
    so that the count is the same on every backend.
    """
    *leading, length, width = query.shape
    source, value_width = value.shape[-2], value.shape[-1]
    sides = (
        (width, "query gradient"),
        (width, "key gradient"),
        (value_width, "weights gradient"),
        (value_width, "value gradient"),
    )
    products = (_attention_product(leading, length, source, side, role) for side, role in sides)
    return Tally(Cost(tuple(products)), elementwise=2 * prod(leading) * length * source)


PAIRS = "pairs"
"""The argument of `archscope::flex_attention` that says how many positions meet."""


def flex_attention(q: Sized, k: Sized, v: Sized, pairs: int, *, out: Any) -> Tally:
    """Attention at the pairs of positions that its mask lets meet."""
    cost = Cost(tuple(_pair_products(pairs, ((q, "query·key"), (v, "weights·value")))))
    return Tally(cost, elementwise=2 * pairs)


def flex_attention_backward(
    gradient: Sized, q: Sized, k: Sized, v: Sized, pairs: int, *, out: Any
) -> Tally:
    """As `attention_backward`, at those pairs."""
    sides = (
        (q, "query gradient"),
        (k, "key gradient"),
        (v, "weights gradient"),
        (v, "value gradient"),
    )
    return Tally(Cost(tuple(_pair_products(pairs, sides))), elementwise=2 * pairs)


def _pair_products(pairs: int, sides: Iterable[tuple[Sized, str]]) -> Iterator[Product]:
    for x, role in sides:
        yield product(role, pairs=pairs, E=x.shape[-1])


def _attention_product(
    leading: Sequence[int], length: int, source: int, width: int, role: str
) -> Product:
    names = ("N", "heads") if len(leading) == 2 else tuple(f"B_{i}" for i in range(len(leading)))
    return named((*names, "L", "S", "E"), (*leading, length, source, width), role)


def lstm_layer_on_cpu(
    x: Sized, weight: Sized, recurrent: Sized, *rest: Any, out: Any, **options: Any
) -> Tally:
    """One direction of one recurrent layer: x (L, N, D_in) meets (gates, D_in) and (gates, D)."""
    length, batch, inner = x.shape
    gates = weight.shape[0]
    steps = {"L": length, "N": batch, "gates": gates}
    products = (
        product("input", **steps, D_in=inner),
        product("recurrent", **steps, D=recurrent.shape[1]),
    )
    return Tally(Cost(products), elementwise=length * batch * gates)


def lstm_layer_on_cpu_backward(
    x: Sized, weight: Sized, recurrent: Sized, *rest: Any, out: Any,
    wanted: Sequence[bool] = (True,) * 7, **options: Any,
) -> Tally:  # fmt: skip
    """Each product's two gradients, as far as autograd asks for them.

    The kernel computes them all; on any other device the layer falls apart into products, of which
    the unwanted ones do not run. The first step has no gradient of a state that nobody trains.

    Args:
        x: (L, N, D_in).
        weight: (gates, D_in).
        recurrent: (gates, D).
        rest: biases, states and what the forward pass kept.
        out: the gradients.
        wanted: of which operands of the forward pass a gradient is asked for: x, the two weights,
            the two biases, and the two states.
        options: flags.
    """
    length, batch, inner = x.shape
    steps = {"N": batch, "gates": weight.shape[0]}
    before = length if any(wanted[5:7]) else length - 1
    sides = (
        (wanted[0], "input, input gradient", length, {"D_in": inner}),
        (wanted[1], "input, weight gradient", length, {"D_in": inner}),
        (True, "recurrent, input gradient", before, {"D": recurrent.shape[1]}),
        (wanted[2], "recurrent, weight gradient", length, {"D": recurrent.shape[1]}),
    )
    products = (product(role, L=L, **steps, **side) for asked, role, L, side in sides if asked)
    return Tally(Cost(tuple(products)), length * batch * weight.shape[0])


def multi_head_attention(
    query: Sized, key: Sized, value: Sized, width: int, heads: int, *rest: Any, out: Any,
    **options: Any,
) -> Tally:  # fmt: skip
    """`nn.MultiheadAttention` as one operator: four projections around the attention."""
    batch, length = query.shape[0], query.shape[1]
    source = key.shape[1]
    sides = (("query", length), ("key", source), ("value", source), ("output", length))
    projections = (
        product(f"{role} projection", rows=batch * rows, D_in=width, D_out=width)
        for role, rows in sides
    )
    places = ([batch, heads], length, source, width // heads)
    scores = (_attention_product(*places, role) for role in ("query·key", "weights·value"))
    elements = 2 * batch * heads * length * source + 2 * batch * (length + source) * width
    return Tally(Cost((*projections, *scores)), elements)


def transformer_encoder_layer(
    x: Sized, width: int, heads: int, qkv: Sized, qkv_bias: Sized, projection: Sized,
    projection_bias: Sized, gelu: bool, norm_first: bool, eps: float, norm_1: Sized,
    norm_1_bias: Sized, norm_2: Sized, norm_2_bias: Sized, first: Sized, *rest: Any, out: Any,
    **options: Any,
) -> Tally:  # fmt: skip
    """`nn.TransformerEncoderLayer` as one operator: attention, then two linear layers."""
    attended = multi_head_attention(x, x, x, width, heads, out=out)
    rows, hidden = x.numel() // width, first.shape[0]
    layers = (
        product("first", rows=rows, D_in=width, D_out=hidden),
        product("second", rows=rows, D_in=hidden, D_out=width),
    )
    elements = rows * (2 * hidden + 5 * width)  # bias, activation, bias, two norms, two adds
    return Tally(Cost((*attended.cost.products, *layers)), attended.elementwise + elements)
