"""The changes between two networks as a table, in the form of a code review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from archscope import wording
from archscope.ask.diff import Change, Status, _name, changes
from archscope.quantities import (
    ACTIVATIONS,
    ELEMENTWISE,
    MACS,
    MACS_BACKWARD,
    PARAMS,
    Difference,
    Quantity,
)
from archscope.records import Analysis
from archscope.table import Cell, Column, Report, Row, RowKind, Table, Unit
from archscope.units import percent, si, signed
from archscope.wording import network_title

SIGNS: dict[Status, str] = {
    "same": " ",
    "renamed": "→",
    "changed": "~",
    "added": "+",
    "removed": "−",
}


KINDS: dict[Status, RowKind] = {"added": "added", "removed": "removed"}

# Tables

TOTALS = (
    Column("quantity", "", "text"),
    Column("old", "Old", "decimal"),
    Column("new", "New", "decimal"),
    Column("difference", "Change", "decimal", signed=True),
    Column("relative_difference", "of old", "percent", signed=True),
)

CHANGES = (
    Column("sign", "", "text"),
    Column("layer", "Layer", "name"),
    Column("what", "What changed", "text"),
    replace(PARAMS.column(), signed=True),
    replace(MACS.column(), signed=True),
)

QUANTITIES = (PARAMS, MACS, MACS_BACKWARD, ELEMENTWISE, ACTIVATIONS)


def differs(report: Report) -> bool:
    """Whether a report of `diff_report` tells of any change."""
    return report.answer != SAME


SAME = "Nothing changed."


def diff_report(old: Analysis, new: Analysis) -> Report:
    """The report of `archscope diff`: totals, then what changed, equal layers left out."""
    found = changes(old, new)
    title = " → ".join(network_title(side.model, side.keywords) for side in (old, new))
    notes = ["+ new, − gone, ~ changed, → renamed only (same facts in the same order)."]
    if old.input != new.input:
        notes.append(f"Counted on different inputs: {old.input} and {new.input}.")
    shown_changes = [change for change in found if not change.follows]
    runs = [list(run) for _, run in groupby(shown_changes, _fold)]
    rows = [row for run in runs for row in _rows(run)]
    if len(shown_changes) < len(found):
        notes.append(
            f"Left out: layers without parameters that only follow the shapes around them "
            f"({len(found) - len(shown_changes)}); a CSV file lists every layer."
        )
    notes.append(_kept(found, len(new.layers)))
    tables = (_totals(old, new, title), Table("Layers", CHANGES, tuple(rows), tuple(notes)))
    answer = _answer(old, new, found)
    return Report(title, tables if rows else tables[:1], data=_data(found), answer=answer)


def _answer(old: Analysis, new: Analysis, found: Sequence[Change]) -> str:
    """How much more it costs, and how many layers are others."""
    number = Counter(change.status for change in found if not change.follows)
    words: dict[Status, str] = {
        "added": "new",
        "removed": "gone",
        "changed": "changed",
        "renamed": "renamed",
    }
    layers = [f"{number[status]} {word}" for status, word in words.items() if number[status]]
    if not layers:
        return SAME
    costs = [
        text
        for quantity in (PARAMS, MACS)
        if (text := _grown(quantity, quantity.total(old.total), quantity.total(new.total)))
    ]
    return f"{' and '.join(costs) or 'Equal cost'}; layers: {', '.join(layers)}."


def _grown(quantity: Quantity, before: float, after: float) -> str:
    change = Difference(after, before)
    if not change.amount:
        return ""
    share = "" if change.share is None else f" ({_share(change.share)})"
    return f"{signed(si(change.amount))} {quantity.word}{share}"


def _share(share: float) -> str:
    """A change in percent; one that rounds to nothing is `under 0.1 %`, not none."""
    text = signed(percent(share))
    return "under 0.1 %" if text == percent(0.0) else text


def _kept(found: Sequence[Change], layers: int) -> str:
    """How many layers are what they were, under their old name or another."""
    renamed = sum(change.status == "renamed" for change in found)
    same = sum(change.status == "same" for change in found) + renamed
    names = f", {renamed} of them under another name" if renamed else ""
    return f"{same} of {layers} layers are unchanged{names}."


def _totals(old: Analysis, new: Analysis, title: str) -> Table:
    rows = []
    sides = (("old", old), ("new", new))
    gaps = {key: gap for key, a in sides if (gap := wording.missing_formulas(a.coverage))}
    for quantity in QUANTITIES:
        assert quantity.read is not None
        before, after = quantity.read(old.total), quantity.read(new.total)
        if before is not None and after is not None:
            unit: Unit = "bytes" if quantity.unit == "bytes" else "exact"
            bounds = frozenset(gaps if quantity.bounded else ())
            rows.append(_total(quantity.title, before, after, unit, bounds))
    rows.append(_total("Layers", len(old.layers), len(new.layers), "exact", frozenset()))
    total = "counted total" if gaps else "total"
    notes = [] if any(row.cells[3] for row in rows) else [f"No {total} changed."]
    if gaps:
        notes += [wording.lower_bound_note(gap) for gap in dict.fromkeys(gaps.values())]
        notes.append("Changes next to a lower bound are those of what was counted.")
    return Table(title, TOTALS, tuple(rows), tuple(notes))


def _total(title: str, before: float, after: float, unit: Unit, bounds: frozenset[str]) -> Row:
    change = Difference(after, before)
    return Row((title, before, after, change.amount, change.share), unit=unit, lower_bound=bounds)


def _fold(change: Change) -> tuple[Status, str]:
    """Neighbours that share this are shown in one row: whole blocks come, go and move."""
    if change.status == "changed":
        return change.status, change.name
    return change.status, ""


def _rows(run: Sequence[Change]) -> Iterator[Row]:
    """One row for a run of neighbours with the same fate."""
    first, last = run[0], run[-1]
    if first.status == "same":
        return
    differences: list[Cell] = [
        sum(change.difference(quantity) for change in run) for quantity in (PARAMS, MACS)
    ]
    if len(run) == 1:
        cells = (SIGNS[first.status], first.name, first.sentence, *differences)
        yield Row(cells, KINDS.get(first.status, "row"))
        return
    sides = [
        f"{_name(a)} … {_name(b)}"
        for a, b in ((first.old, last.old), (first.new, last.new))
        if a is not None and b is not None
    ]
    what = f"{len(run)} layers"
    cells = (SIGNS[first.status], " → ".join(sides), what, *differences)
    yield Row(cells, KINDS.get(first.status, "row"))


DATA = (
    Column("status", "Status", "text"),
    Column("old", "Old", "name"),
    Column("new", "New", "name"),
    Column("what", "What changed", "text"),
    PARAMS.column(),
    Column("macs", "MACs", "exact"),
)


def _data(found: Sequence[Change]) -> Table:
    rows = tuple(
        Row(
            (
                change.status,
                None if change.old is None else _name(change.old),
                None if change.new is None else _name(change.new),
                change.sentence,
                change.difference(PARAMS),
                change.difference(MACS),
            )
        )
        for change in found
    )
    return Table("Layers", DATA, rows)
