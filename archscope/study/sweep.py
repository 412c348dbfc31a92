"""Counted points of a sweep → a table and charts over its axes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from archscope import wording
from archscope.ask.sweep.grid import Outcome
from archscope.errors import ArchscopeError
from archscope.records import Totals
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.wording import CONVENTION

# The report

MEASURES = (
    Column("params", "Params", "exact"),
    Column("params_ratio", "Params ×", "ratio", 3),
    Column("macs", "MACs", "macs"),
    Column("macs_ratio", "MACs ×", "ratio", 2),
    Column("macs_backward", "MACs backward", "macs", 4),
    Column("buffers", "Buffers", "exact", 6),
    Column("elementwise", "Elementwise", "count", 5),
    Column("activation_bytes", "Activations", "bytes", 1),
    Column("bytes_moved", "Bytes moved", "bytes", 7),
    Column("intensity", "flops/byte", "decimal", 8),
)
COMPARED = "Columns with × compare with the first point that was counted."
_RATIOS = {"params_ratio": "params", "macs_ratio": "macs"}
CHARTED = (
    ("params", Axis("Parameters", "count")),
    ("macs", Axis("Forward MACs", "macs")),
    ("activation_bytes", Axis("Activations", "bytes")),
)


def sweep_report(title: str, outcomes: Sequence[Outcome]) -> Report:
    """One row a point and a chart for each of parameters, MACs and activations.

    Ratios are to the first point that was counted.

    Raises:
        ArchscopeError: no point could be counted.
    """
    counted = [outcome for outcome in outcomes if outcome.total is not None]
    if not counted:
        raise ArchscopeError(title, "no point can be counted", outcomes[0].problem)
    told = dict.fromkeys(note for outcome in counted for note in outcome.notes)
    table = _table(title, outcomes, [*told, COMPARED, CONVENTION])
    return Report(title, (table,), _charts(title, counted))


def _table(title: str, outcomes: Sequence[Outcome], notes: Sequence[str]) -> Table:
    first = next(outcome.total for outcome in outcomes if outcome.total is not None)
    keys = [key for key, _ in outcomes[0].point]
    columns = [Column(key, key, _unit(key, outcomes)) for key in keys]
    measures = [m for m in MEASURES if m.key != "macs_backward" or first.macs_backward is not None]
    problems = [Column("problem", "Problem")] if any(o.problem for o in outcomes) else []
    rows = []
    for outcome in outcomes:
        point: list[Cell] = [_cell(text) for _, text in outcome.point]
        cells: list[Cell] = [_measured(m.key, outcome.total, first) for m in measures]
        told: list[Cell] = [outcome.problem or None for _ in problems]
        bound = frozenset() if outcome.complete else wording.LOWER_BOUNDS
        rows.append(Row((*point, *cells, *told), lower_bound=bound))
    return Table(title, (*columns, *measures, *problems), tuple(rows), tuple(notes))


def _measured(key: str, total: Totals | None, first: Totals) -> Cell:
    if total is None:
        return None
    if key in _RATIOS:
        base = getattr(first, _RATIOS[key])
        return getattr(total, _RATIOS[key]) / base if base else None
    value: Cell = getattr(total, key)
    return value


def _unit(key: str, outcomes: Sequence[Outcome]) -> Any:
    values = [_cell(dict(outcome.point)[key]) for outcome in outcomes]
    return "decimal" if all(isinstance(value, int | float) for value in values) else "text"


def _cell(text: str) -> int | float | str:
    """A value as a number where it is one, so that tables and axes are in order."""
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return text.replace("x", "×") if text.replace("x", "").isdecimal() else text


def _charts(title: str, outcomes: Sequence[Outcome]) -> tuple[Chart, ...]:
    if len(outcomes) < 2:
        return ()
    along = _longest_axis(outcomes)
    lines: dict[str, list[tuple[int | float | str, Totals]]] = {}
    for outcome in outcomes:
        assert outcome.total is not None
        point = dict(outcome.point)
        x = _cell(point.pop(along))
        name = ", ".join(f"{key}={text}" for key, text in point.items()) or title
        lines.setdefault(name, []).append((x, outcome.total))
    numeric = all(isinstance(x, int | float) for line in lines.values() for x, _ in line)
    if numeric:
        lines = {name: sorted(line, key=lambda point: point[0]) for name, line in lines.items()}
    return tuple(
        Chart(
            f"{axis.title} of {title}",
            "line" if numeric else "bars",
            Axis(along, "decimal" if numeric else "text"),
            axis,
            tuple(
                Series(
                    name,
                    tuple(x for x, _ in line),
                    tuple(float(getattr(total, key)) for _, total in line),
                )
                for name, line in lines.items()
            ),
        )
        for key, axis in CHARTED
    )


def _longest_axis(outcomes: Sequence[Outcome]) -> str:
    """The key with the most values, a numeric one before others: it becomes the x axis."""
    keys = [key for key, _ in outcomes[0].point]
    values = {key: {dict(outcome.point)[key] for outcome in outcomes} for key in keys}

    def rank(key: str) -> tuple[bool, int]:
        return all(not isinstance(_cell(text), str) for text in values[key]), len(values[key])

    return max(keys, key=rank)
