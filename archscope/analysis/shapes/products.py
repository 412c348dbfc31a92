"""Matrix products, attention and least squares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archscope.analysis.shapes.results import like_ordered, new


def mm(a: Tensor, b: Tensor) -> Tensor | None:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        return None
    return new(a, (a.shape[0], b.shape[1]))


def addmm(bias: Tensor, a: Tensor, b: Tensor, **scales: Any) -> Tensor | None:
    if bias.dtype != a.dtype or bias.shape[-1] not in (1, b.shape[-1]) or bias.dim() != 1:
        return None
    return mm(a, b)


def bmm(a: Tensor, b: Tensor) -> Tensor | None:
    if (
        a.dim() != 3
        or b.dim() != 3
        or a.dtype != b.dtype
        or a.shape[0] != b.shape[0]
        or a.shape[2] != b.shape[1]
    ):
        return None
    return new(a, (a.shape[0], a.shape[1], b.shape[2]))


def grouped_mm(
    a: Tensor, b: Tensor, offs: Tensor | None = None, bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor | None:  # fmt: skip
    """As CPU and GPU answer in every floating dtype, where the meta kernel takes bfloat16 alone.

    A kernel may pad the rows of the result in memory; this does not.
    """
    if a.dtype != b.dtype or bias is not None or offs is None or a.shape[-1] != b.shape[-2]:
        return None
    if a.dim() == b.dim() == 2:
        shape = [offs.shape[0], a.shape[0], b.shape[1]]
    elif {a.dim(), b.dim()} == {2, 3}:
        shape = [a.shape[-2], b.shape[-1]]
    else:
        return None
    return torch.empty(shape, dtype=out_dtype or a.dtype, device="meta")


def least_squares(
    a: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """As the default driver answers; there is no meta kernel."""
    if b.dim() != a.dim() or driver not in (None, "gelsy"):
        return None
    batch = a.shape[:-2]
    return (
        new(a, [*batch, a.shape[-1], b.shape[-1]]),
        new(a, [0]),
        torch.empty(batch, dtype=torch.int64, device="meta"),
        new(a, [0]),
    )


def attention_on_cpu(
    query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor, Tensor] | None:
    """The result, laid out as the query, and the logarithms of the rows' sums."""
    if query.dim() != 4:
        return None
    batch, heads, length, _ = query.shape
    sums = torch.float32 if query.dtype in (torch.float16, torch.bfloat16) else query.dtype
    result = like_ordered(query)
    return result, torch.empty((batch, length, heads), dtype=sums, device="meta").transpose(1, 2)


def attention_on_cpu_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor, ...]:
    """Gradients of the operands, positions before heads in memory."""
    return tuple(
        new(x, (x.shape[0], x.shape[2], x.shape[1], x.shape[3])).transpose(1, 2)
        for x in (query, key, value)
    )
