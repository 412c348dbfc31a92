"""Products by weights that are stored in 8 or 4 bits: the logical sides count, not the bytes."""

from __future__ import annotations

from typing import Any

from archscope.analysis.ops import (
    Sized,
    Tally,
    direct_convolution,
    direct_transposed_convolution,
    grouped_mm,
    product,
)
from archscope.records import Cost


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


def convolution(x: Sized, weight: Any, *rest: Any, out: Sized, **options: Any) -> Tally:
    """A convolution of `torch.ao` by a weight packed for its kernel, which knows its shape."""
    return direct_convolution(x, weight.unpack()[0], out=out)


def transposed_convolution(x: Sized, weight: Any, *rest: Any, out: Sized, **options: Any) -> Tally:
    """As `convolution`, the kernel spread from input positions."""
    return direct_transposed_convolution(x, weight.unpack()[0], out=out)
