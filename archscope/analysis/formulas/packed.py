"""Products by weights that are stored in 8 or 4 bits: the logical sides count, not the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from archscope.analysis.ops import (
    Sized,
    Tally,
    direct_convolution,
    direct_transposed_convolution,
    grouped_mm,
    product,
)
from archscope.records import Cost, Product


def by_result(x: Sized, *rest: Any, out: Sized, **options: Any) -> Tally:
    """Input (…, D_in) to result (…, D_out): how the weight is packed does not matter."""
    columns = out.shape[-1]
    rows = out.numel() // columns if columns else 0
    return Tally(Cost((product(rows=rows, D_in=x.shape[-1], D_out=columns),)))


def scaled_mm(a: Sized, b: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """(rows, D_in) by (D_in, D_out), each with a scale; a bias adds one operation an element."""
    result = out[0] if isinstance(out, (tuple, list)) else out
    given = (*rest, *options.values())
    biased = any(getattr(value, "shape", None) == result.shape[-1:] for value in given)
    inner = product(rows=result.shape[0], D_in=a.shape[-1], D_out=result.shape[-1])
    return Tally(Cost((inner,)), result.numel() * biased)


def scaled_grouped_mm(a: Sized, b: Sized, *rest: Any, out: Sized, **options: Any) -> Tally:
    """One product a group, as of experts, each with a scale."""
    return grouped_mm(a, b, out=out)


def two_of_four(packed: Sized, meta: Sized, x: Sized, *rest: Any, out: Sized, **more: Any) -> Tally:
    """A weight of which two of four elements are stored, (D_out, D_in / 2), by x (D_in, …)."""
    return Tally(Cost((product(stored=packed.numel(), columns=out.shape[-1]),)))


def two_of_four_added(bias: Sized, packed: Sized, *rest: Any, out: Sized, **more: Any) -> Tally:
    """As `two_of_four`, plus a bias."""
    cost = Cost((product(stored=packed.numel(), columns=out.shape[-1]),))
    return Tally(cost, out.numel())


def two_of_four_linear(x: Sized, packed: Sized, *rest: Any, out: Sized, **more: Any) -> Tally:
    """Input (…, D_in) by a weight of which two of four elements are stored."""
    rows = x.numel() // max(1, x.shape[-1])
    return Tally(Cost((product(rows=rows, stored=packed.numel()),)))


def two_of_four_compressed(
    packed: Sized, dense: Sized, *rest: Any, out: Sized, **more: Any
) -> Tally:
    """As `two_of_four`, of a weight in a library's own order: half of D_in is stored."""
    return Tally(Cost((product(results=out.numel(), stored=dense.shape[0] // 2),)))


class Gates(NamedTuple):
    """What a recurrent unit computes at each step.

    Args:
        products: with its input, and as many with its states.
        operations: on single numbers, besides the two biases of each product.
    """

    products: int
    operations: int

    def sequence(self, x: Sized, *rest: Any, out: Sequence[Sized], **options: Any) -> Tally:
        """All layers and directions over x (steps, batch, D_in), or over packed rows (rows, D_in).

        `out` is (…, directions · D_hidden) and the last states, (layers · directions, batch,
        D_hidden).
        """
        biased = next(value for value in rest if isinstance(value, bool))
        outputs, states = out[:2]
        hidden, width = states.shape[-1], outputs.shape[-1]
        rows = outputs.numel() // width if width else 0
        made: list[Product] = []
        inputs = x.shape[-1]
        for place in range(states.shape[0]):
            made += self._step(rows, inputs if place < width // hidden else width, hidden)
        return Tally(Cost(tuple(made)), self._single(rows * hidden * states.shape[0], biased))

    def cell(self, x: Sized, states: Any, *rest: Any, out: Any, **options: Any) -> Tally:
        """One step of x (batch, D_in)."""
        made = out[0] if isinstance(out, (tuple, list)) else out
        hidden = made.shape[-1]
        cost = Cost(tuple(self._step(x.shape[0], x.shape[-1], hidden)))
        return Tally(cost, self._single(made.numel(), rest[-1] is not None))

    def _step(self, rows: int, inputs: int, hidden: int) -> list[Product]:
        width = self.products * hidden
        return [product(rows=rows, D_in=size, D_out=width) for size in (inputs, hidden)]

    def _single(self, units: int, biased: bool) -> int:
        return units * (self.operations + 2 * self.products * biased)


LSTM = Gates(4, 13)
"""Sums of both products and an activation of each gate, 3 operations for the cell, 2 for the state.
"""
GRU = Gates(3, 10)
"""3 activations and 2 sums of both products, the reset (2), and the mixture with the state (3)."""
RNN = Gates(1, 2)


def convolution(x: Sized, weight: Any, *rest: Any, out: Sized, **options: Any) -> Tally:
    """A convolution of `torch.ao` by a weight packed for its kernel, which knows its shape."""
    return direct_convolution(x, weight.unpack()[0], out=out)


def transposed_convolution(x: Sized, weight: Any, *rest: Any, out: Sized, **options: Any) -> Tally:
    """As `convolution`, the kernel spread from input positions."""
    return direct_transposed_convolution(x, weight.unpack()[0], out=out)
