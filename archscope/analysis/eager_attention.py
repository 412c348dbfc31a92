"""Attention as networks wrote it before PyTorch 2.0 had a function for it.

Two products and a softmax, each of which leaves the matrix of attention weights in memory
(`attn_implementation="eager"` in transformers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def eager_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.scaled_dot_product_attention`, written out.

    Args:
        query: (…, heads, targets, width).
        key: (…, heads, sources, width); fewer heads with `enable_gqa`.
        value: (…, heads, sources, width of values).
        attn_mask: broadcast to (…, heads, targets, sources): booleans, or what is added.
        dropout_p: share of the attention weights that is dropped.
        is_causal: a target sees the sources up to its own place.
        scale: of the scores; 1/√width when `None`.
        enable_gqa: heads of the query share heads of key and value.
    """
    if enable_gqa:
        shared = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(shared, -3) for t in (key, value))
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = scores.softmax(-1)
    if dropout_p:
        weights = torch.dropout(weights, dropout_p, True)
    return weights @ value


class EagerAttention(TorchFunctionMode):
    """Writes out every call of scaled dot-product attention, under whatever name."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "scaled_dot_product_attention":
            return eager_attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
