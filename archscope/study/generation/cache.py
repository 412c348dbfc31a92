"""Generation → what each layer of the cache holds."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records.generation import CacheLayer, Generation
from archscope.table import Column, Row, Table
from archscope.units import binary_bytes

CACHE = (
    Column("layers", "Layers", "text"),
    Column("kind", "Kind", "text"),
    Column("shapes", "Tensors after the prompt", "text", priority=1),
    Column("token_bytes", "Each token", "bytes"),
    Column("window", "Up to", "exact"),
    Column("fixed_bytes", "Fixed", "bytes", priority=1),
    Column("prompt_bytes", "After the prompt", "bytes"),
    Column("final_bytes", "At the end", "bytes"),
)


def cache_table(found: Generation) -> Table:
    """Equal layers together."""
    groups: dict[tuple[object, ...], list[CacheLayer]] = {}
    for layer in found.cache:
        alike = (layer.kind, layer.shapes, layer.token_bytes, layer.window, layer.fixed_bytes)
        groups.setdefault(alike, []).append(layer)
    rows = [
        Row(
            (
                f"{len(alike)}×" if len(alike) > 1 else alike[0].name,
                alike[0].kind,
                shapes_text(alike[0].shapes),
                sum(layer.token_bytes for layer in alike),
                alike[0].window,
                sum(layer.fixed_bytes for layer in alike),
                sum(layer.prompt_bytes for layer in alike),
                sum(layer.final_bytes for layer in alike),
            )
        )
        for alike in groups.values()
    ]
    rows.append(
        Row(
            (
                "Total", None, None, sum(layer.token_bytes for layer in found.cache), None,
                sum(layer.fixed_bytes for layer in found.cache),
                found.prompt_cache_bytes, found.cache_bytes,
            ),
            "total",
        )
    )  # fmt: skip
    return Table("Cache by layer", CACHE, tuple(rows), _cache_notes(found))


def _cache_notes(found: Generation) -> tuple[str, ...]:
    notes = [
        "As the network returns it. Up to: tokens that a layer keeps at most; bytes are of the "
        f"batch of {found.batch}."
    ]
    usual = found.textbook_cache_bytes
    if usual and found.cache_bytes and abs(usual / found.cache_bytes - 1) > 0.01:
        notes.append(
            f"The usual formula, 2·layers·KV heads·head width·tokens, gives {binary_bytes(usual)}: "
            f"{usual / found.cache_bytes:.2f} times as much."
        )
    return tuple(notes)


def shapes_text(shapes: Sequence[tuple[int, ...]]) -> str:
    texts = ["×".join(map(str, shape)) for shape in shapes]
    counts = {text: texts.count(text) for text in texts}
    return ", ".join(f"{count}× {text}" if count > 1 else text for text, count in counts.items())


def layers_table(found: Generation, title: str) -> Table:
    """Every layer of the cache in a row of its own, for files."""
    rows = (
        Row((layer.name, layer.kind, shapes_text(layer.shapes), layer.token_bytes, layer.window,
             layer.fixed_bytes, layer.prompt_bytes, layer.final_bytes))
        for layer in found.cache
    )  # fmt: skip
    return Table(title, CACHE, tuple(rows))
