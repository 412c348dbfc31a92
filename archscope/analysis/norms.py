"""Root mean square normalisation as one operator, as layer normalisation is (Zhang and Sennrich
2019): on the CPU and the meta device PyTorch runs five operators in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.dispatch import run
from archscope.analysis.own_operators import defined

FORWARD = "rms_norm(Tensor x, int[] shape, Tensor? weight, float? eps) -> (Tensor, Tensor)"
BACKWARD = (
    "rms_norm_backward(Tensor gradient, Tensor x, int[] shape, Tensor factors, Tensor? weight, "
    "bool[] wanted) -> (Tensor, Tensor)"
)


@cache
def _library() -> torch.library.Library:
    return defined({FORWARD: _forward, BACKWARD: _backward})


def rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    same = weight is None or weight.dtype == x.dtype
    if run.attention_kernels is None or x.is_nested or not same:
        result: Tensor = torch.ops.aten.rms_norm.default.decompose(x, shape, weight, eps)
        return result
    _library()
    normalised: Tensor = _Norm.apply(x, list(shape), weight, eps)
    return normalised


class _Norm(torch.autograd.Function):
    """Keeps the input and a factor for each row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: list[int], weight: Tensor | None, eps: Any) -> Tensor:
        result, factors = torch.ops.archscope.rms_norm(x, shape, weight, eps)
        ctx.save_for_backward(x, factors, weight)
        ctx.shape = shape
        normalised: Tensor = result
        return normalised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, factors, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], weight is not None and ctx.needs_input_grad[2]]
        of_x, of_weight = torch.ops.archscope.rms_norm_backward(
            gradient, x, ctx.shape, factors, weight, wanted
        )
        return of_x if wanted[0] else None, None, of_weight if wanted[1] else None, None


def _forward(
    x: Tensor, shape: list[int], weight: Tensor | None, eps: float | None
) -> tuple[Tensor, Tensor]:
    over = tuple(range(x.dim() - len(shape), x.dim()))
    kind = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    small = torch.finfo(kind).eps if eps is None else eps
    wide = x.to(kind)
    factors = torch.rsqrt(wide.pow(2).mean(over, keepdim=True) + small)
    result = (wide * factors).to(x.dtype)
    return (result if weight is None else result * weight), factors


def _backward(
    gradient: Tensor, x: Tensor, shape: list[int], factors: Tensor, weight: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    over = tuple(range(x.dim() - len(shape), x.dim()))
    scaled = gradient if weight is None else gradient * weight
    unit = x * factors
    of_x = (scaled - unit * (scaled * unit).mean(over, keepdim=True)) * factors
    of_weight = (gradient * unit).sum(tuple(range(x.dim() - len(shape))))
    return of_x.to(x.dtype), of_weight.to(x.dtype)
