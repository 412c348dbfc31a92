"""Generation → which part of a mixture of experts a token uses."""

from __future__ import annotations

from collections.abc import Iterator

from archscope.records.generation import ExpertMacs, Generation
from archscope.table import Column, Row, Table

EXPECTED = (
    "Which experts a token is routed to depends on values: MACs are the same for any choice; bytes "
    "are those expected of uniform routing, E·(1 − (1 − k/E)ⁿ) of E experts for n tokens of k "
    "choices."
)


def mixture_table(found: Generation) -> Table:
    rows = [
        Row(("Parameters", found.params, None)),
        Row(("Active parameters", found.active_params, None)),
    ]
    for title, key in (
        ("MACs of routed experts", "routed"),
        ("MACs of shared experts", "shared"),
        ("MACs of routers", "router"),
        ("MACs of all else", "others"),
    ):
        cells = [_part(found.prefill_macs, key), _part(found.step_macs, key)]
        if any(cells):
            rows.append(Row((title, *cells)))
    one = found.experts[0]
    tokens = [found.batch * found.prompt, found.batch]
    distinct = [f"{one.distinct(n):.1f} of {one.count}" for n in tokens]
    rows.append(Row((f"Distinct experts of {one.name}", *distinct)))
    step = found.pieces[0].first.weight_bytes if found.pieces else None
    rows.append(Row(("Weights read", found.prefill.weight_bytes, step), unit="bytes"))
    columns = (
        Column("quantity", "Quantity", "text"),
        Column("prefill", "Prefill", "decimal"),
        Column("step", "A step", "decimal"),
    )
    layers, each = len(found.experts), f"{one.per_token} of {one.count}"
    title = f"Mixture of experts: {layers} layers, {each} experts a token"
    return Table(title, columns, tuple(rows), (*_active_note(found), EXPECTED))


def _active_note(found: Generation) -> Iterator[str]:
    """What published counts of active parameters include or leave out."""
    if found.table_params:
        others = found.active_params - found.table_params
        yield (
            f"Active parameters: all but those of experts that a token is not routed to. "
            f"{found.table_params:,} of them are in embedding tables, of which it reads a row; "
            f"without these {others:,}."
        )


def _part(macs: ExpertMacs | None, key: str) -> int | None:
    return None if macs is None else int(getattr(macs, key)) or None
