"""Attention written out gives what PyTorch's function gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from archscope.analysis.eager_attention import EagerAttention, eager_attention

HEADS, TARGETS, SOURCES, WIDTH = 4, 5, 7, 8


def operands(heads: int = HEADS) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    shape = (2, heads, SOURCES, WIDTH)
    return torch.randn(2, HEADS, TARGETS, WIDTH), torch.randn(shape), torch.randn(shape)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.5},
        {"is_causal": True},
        {"attn_mask": torch.ones(TARGETS, SOURCES, dtype=torch.bool).tril(2)},
        {"attn_mask": torch.linspace(-1, 1, TARGETS * SOURCES).view(TARGETS, SOURCES)},
    ],
    ids=["plain", "scale", "causal", "boolean mask", "added mask"],
)
def test_values(options: dict[str, Any]) -> None:
    query, key, value = operands()
    wanted = F.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(eager_attention(query, key, value, **options), wanted)


def test_grouped_queries() -> None:
    query, key, value = operands(heads=2)
    wanted = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(eager_attention(query, key, value, enable_gqa=True), wanted)


def test_dropout_takes_weights_away() -> None:
    query, key, value = operands()
    assert not torch.equal(
        eager_attention(query, key, value, dropout_p=0.5), eager_attention(query, key, value)
    )


def test_a_name_bound_before_is_written_out_too() -> None:
    kept: list[tuple[int, ...]] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    query, key, value = (tensor.requires_grad_() for tensor in operands())
    bound = F.scaled_dot_product_attention
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), EagerAttention():
        bound(query, key, value)
    assert any(shape[-2:] == (TARGETS, SOURCES) for shape in kept)
