"""What a configuration says of its network before anything is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archscope.errors import ArchscopeError
from archscope.resolve.huggingface import configuration, tasks


@dataclass(frozen=True)
class Card:
    """The default configuration of one architecture; `None` where it says nothing.

    Args:
        name: `model_type` of transformers.
        layers: blocks of the (text) network.
        width: size of the stream between the blocks.
        heads: query heads of a block.
        kv_heads: key and value heads, fewer than `heads` in grouped-query attention.
        experts: of a mixture, routed ones of a layer.
        experts_per_token: to how many of them a token is routed.
        context: longest sequence of positions.
        vocabulary: tokens.
        tasks: what it can be built as.
    """

    name: str
    layers: int | None = None
    width: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    context: int | None = None
    vocabulary: int | None = None
    tasks: tuple[str, ...] = ()


NAMES: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "encoder_layers"),
    "width": ("hidden_size", "d_model", "n_embd", "embed_dim"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_kv_heads"),
    "experts": ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts"),
    "experts_per_token": (
        "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts",
    ),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "vocabulary": ("vocab_size",),
}  # fmt: skip
"""Attributes that configurations have for each fact, the usual one first."""


def card(name: str) -> Card:
    """The card of an architecture in its default configuration.

    Args:
        name: `model_type`, without `hf:`.

    Raises:
        ArchscopeError: unknown, or its default configuration is not valid.
    """
    config = configuration.find(name, {})
    return replace(_of(name, config), tasks=tuple(tasks.available(config)))


def short_card(name: str) -> Card:
    """The card without tasks; without anything where the default configuration is not valid."""
    try:
        return _of(name, configuration.find(name, {}))
    except ArchscopeError:
        return Card(name)


def _of(name: str, config: Any) -> Card:
    text = configuration.text_of(config)
    facts: dict[str, Any] = {key: _fact(text, attributes) for key, attributes in NAMES.items()}
    if facts["kv_heads"] is None:
        facts["kv_heads"] = facts["heads"]
    if not facts["experts"]:
        facts["experts"] = facts["experts_per_token"] = None
    return Card(name, **facts)


def _fact(config: Any, attributes: tuple[str, ...]) -> int | None:
    """The first attribute that is a whole number and the same in every layer."""
    for name in attributes:
        try:
            value = getattr(config, name, None)
        except Exception:  # some configurations raise where layers differ
            return None
        if type(value) is int:
            return value
    return None
