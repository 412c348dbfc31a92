"""Which gradient a product of the backward pass is, by its shape and its turn.

The trace cannot say it: below autograd both gradients are an `mm` like any other, made in C++ by a
node that names neither. Shapes and the order in which a node makes them do, and where two operands
have equal shapes their gradients cost the same.

A product of a left operand (rows × D_in) and a right one (D_in × D_out) has two gradients: the left
one's sums over D_out, the right one's over the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from archscope.records import Cost, Product

MATRICES = ("rows", "D_in", "D_out")
"""Names of the last factors of a product of two matrices."""


@dataclass(frozen=True)
class Operand:
    """What a product of the forward pass multiplies.

    Args:
        product: the forward product.
        side: which of its two operands.
        gradient: what this one's gradient is called.
    """

    product: Product
    side: Literal["left", "right"]
    gradient: str


def is_of_matrices(item: Product) -> bool:
    """Whether a product is one of two matrices, or of two batches of them."""
    return tuple(factor.name for factor in item.factors[-3:]) == MATRICES


def both_operands(items: Iterable[Product], left: str, right: str) -> list[Operand]:
    """Left and right operand of each product, with the names of their gradients.

    Autograd meets the right one first in a product of batches, the left one in a plain one.
    """
    found = []
    for item in items:
        pair = [Operand(item, "left", left), Operand(item, "right", right)]
        found += pair if len(item.factors) == len(MATRICES) else pair[::-1]
    return found


def named(cost: Cost, operands: Sequence[Operand]) -> Cost:
    """The products of a backward pass under the names of what they are the gradients of.

    Args:
        cost: of the backward pass, in its order.
        operands: in the order in which the backward pass comes to their gradients; where two have
            gradients of one shape, the one that had no turn yet is it.
    """
    waiting = list(operands)
    found = []
    for item in cost.products:
        for operand in (*waiting, *operands):
            gradient = _as_gradient(item, operand)
            if gradient is not None:
                if operand in waiting:
                    waiting.remove(operand)
                item = gradient
                break
        found.append(item)
    return Cost(tuple(found))


def _as_gradient(item: Product, operand: Operand) -> Product | None:
    """A product with the names of a gradient, `None` where its shape is another."""
    if item.role or not is_of_matrices(item) or not is_of_matrices(operand.product):
        return None
    *batch, rows, inner, outer = operand.product.factors
    *own_batch, first, over, last = item.factors
    summed, pair = (outer, (rows, inner)) if operand.side == "left" else (rows, (outer, inner))
    if [f.value for f in own_batch] != [f.value for f in batch] or over.value != summed.value:
        return None
    for one, two in (pair, pair[::-1]):
        if (first.value, last.value) == (one.value, two.value):
            return Product((*batch, one, summed, two), operand.gradient)
    return None
