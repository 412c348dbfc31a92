"""Generation → closed forms of what the prefill, a step and the cache take."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records.generation import CacheLayer, Generation, Piece
from archscope.table import Column, Row, Table


def forms_table(found: Generation) -> Table:
    rows = [Row(("MACs of the prefill", _prefill_text(found)))]
    for piece in found.pieces:
        bends = any(layer.window is not None for layer in found.cache)
        where = _range(piece) if bends or len(found.pieces) > 1 else ""
        rows.append(Row((f"MACs of a step{where}", _line(piece.macs_at_zero, piece.macs_slope))))
    if total := _total_text(found):
        rows.append(Row(("MACs of all", total)))
    rows.append(Row(("Bytes of the cache", _cache_text(found.cache))))
    columns = (Column("quantity", "Quantity", "text"), Column("form", "Closed form", "text"))
    note = (
        "P: tokens of the prompt, T: tokens generated, t: tokens in the context of a step, itself "
        f"included; batch {found.batch}."
    )
    return Table("In closed form", columns, tuple(rows), (note,))


def _range(piece: Piece) -> str:
    return f", t from {piece.first.context:,} to {piece.last.context:,}"


def _prefill_text(found: Generation) -> str:
    if not found.prefill_form:
        return f"{found.prefill.macs:,} at P = {found.prompt:,}; no polynomial in P"
    constant, linear, square = found.prefill_form
    return _sum([(square, "P²"), (linear, "P"), (constant, "")])


def _line(constant: int, slope: int) -> str:
    return _sum([(slope, "t"), (constant, "")])


def _sum(terms: Sequence[tuple[int, str]]) -> str:
    parts = [f"{value:,}·{symbol}" if symbol else f"{value:,}" for value, symbol in terms if value]
    return (" + ".join(parts) or "0").replace("+ -", "− ")


def _total_text(found: Generation) -> str:
    """The sum over prefill and steps, where the steps lie on one straight line.

    The contexts of the steps are P + 1 to P + T − 1: their sum is (T − 1)·P + T·(T − 1)/2.
    """
    if not found.prefill_form or len(found.pieces) != 1 or found.prefill.context != found.prompt:
        return ""
    piece = found.pieces[0]
    text = f"{_prefill_text(found)} + (T − 1)·{piece.macs_at_zero:,}"
    if piece.macs_slope:
        text += f" + {piece.macs_slope:,}·((T − 1)·P + T·(T − 1)/2)"
    return text


def _cache_text(layers: Sequence[CacheLayer]) -> str:
    fixed = sum(layer.fixed_bytes for layer in layers)
    slopes: dict[int | None, int] = {}
    entries: dict[str, int] = {}
    for layer in layers:
        if layer.every:
            for size, what in ((layer.entry_bytes, f"⌊t/{layer.every:,}⌋"),
                               (layer.token_bytes, f"(t mod {layer.every:,})")):  # fmt: skip
                entries[what] = entries.get(what, 0) + size
        elif layer.token_bytes:
            slopes[layer.window] = slopes.get(layer.window, 0) + layer.token_bytes
    terms = [
        (slope, "t" if window is None else f"min(t, {window:,})")
        for window, slope in slopes.items()
    ]
    terms += [(size, what) for what, size in entries.items()]
    return _sum([*terms, (fixed, "")])
