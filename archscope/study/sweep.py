"""Counted points of a sweep → a table and charts over its axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from archscope.ask.sweep.grid import Grid, Outcome
from archscope.errors import ArchscopeError
from archscope.quantities import (
    ACTIVATIONS,
    BUFFERS,
    BYTES_MOVED,
    ELEMENTWISE,
    INTENSITY,
    LOWER_BOUNDS,
    MACS,
    MACS_BACKWARD,
    PARAMS,
    Difference,
    Quantity,
)
from archscope.records import PredictedTime, Totals
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.units import plural, ratio, si
from archscope.wording import CONVENTION, PREDICTED

# The report

MEASURES = (
    (PARAMS, 0), (MACS, 0), (MACS_BACKWARD, 4), (BUFFERS, 6), (ELEMENTWISE, 5), (ACTIVATIONS, 1),
    (BYTES_MOVED, 7), (INTENSITY, 8),
)  # fmt: skip
"""What is counted at each point, with the priority of its column."""

RATIOS = {PARAMS: Column("params_ratio", "Params ×", "ratio", 3),
          MACS: Column("macs_ratio", "MACs ×", "ratio", 2)}  # fmt: skip
COMPARED = "Columns with × compare with the first point that was counted."
CHARTED = (
    (PARAMS, Axis("Parameters", "count")),
    (MACS, Axis("Forward MACs", "macs")),
    (ACTIVATIONS, Axis("Activations", "bytes")),
)


def sweep_title(grid: Grid) -> str:
    """What a sweep is called."""
    return f"{grid.model} over {' × '.join(key for key, _ in grid.axes)}"


def sweep_report(title: str, outcomes: Sequence[Outcome]) -> Report:
    """One row a point and a chart for each of parameters, MACs and activations.

    Ratios are to the first point that was counted.

    Raises:
        ArchscopeError: no point could be counted.
    """
    counted = [outcome for outcome in outcomes if outcome.total is not None]
    if not counted:
        raise ArchscopeError(title, "no point can be counted", outcomes[0].problem)
    notes = dict.fromkeys(note for outcome in counted for note in outcome.notes)
    said = [PREDICTED] if counted[0].predicted else []
    table = _table(title, outcomes, [*notes, COMPARED, *said, CONVENTION])
    return Report(title, (table,), _charts(title, counted), answer=_answer(outcomes, counted))


def _answer(outcomes: Sequence[Outcome], counted: Sequence[Outcome]) -> str:
    """How many points failed and why, and from where to where the MACs of the others go."""
    sizes = [(outcome.total.macs, outcome) for outcome in counted if outcome.total is not None]
    least, most = (pick(sizes, key=lambda size: size[0]) for pick in (min, max))
    where = _failures(outcomes)
    if len(counted) == 1:
        who = "The other point" if where else "The only point"
        return f"{where}{who}, {_named(counted[0])}, takes {si(least[0])} MACs."
    if least[0] == most[0]:
        who = "The others" if where else f"All {len(counted)} points"
        return f"{where}{who} take {si(least[0])} MACs."
    low, high = (f"{si(macs)} ({_named(outcome)})" for macs, outcome in (least, most))
    return f"{where}MACs go from {low} to {high}, {ratio(most[0] / (least[0] or 1))} as many."


def _failures(outcomes: Sequence[Outcome]) -> str:
    """How many points failed, with the first and its problem; empty where none did."""
    failed = [outcome for outcome in outcomes if outcome.total is None]
    if not failed:
        return ""
    count = f"{len(failed)} of {plural(len(outcomes), 'point')} could not be counted"
    such = "such as " if len(failed) > 1 else ""
    return f"{count}: {such}{_named(failed[0])}: {failed[0].problem.rstrip('.')}. "


def _named(outcome: Outcome) -> str:
    return ", ".join(f"{key}={text}" for key, text in outcome.point)


def _table(title: str, outcomes: Sequence[Outcome], notes: Sequence[str]) -> Table:
    first = next(outcome.total for outcome in outcomes if outcome.total is not None)
    keys = [key for key, _ in outcomes[0].point]
    columns = [Column(key, key, _unit(key, outcomes)) for key in keys]
    measured = [q for q, _ in MEASURES if q is not MACS_BACKWARD or first.macs_backward is not None]
    predicted = next(o.predicted for o in outcomes if o.total is not None)
    later = 1 if predicted else 0  # what was asked for is the last to leave a narrow terminal
    measures = [column for q, priority in MEASURES if q in measured
                for column in (q.column(priority + later), *_ratio_column(q))]  # fmt: skip
    measures += predicted_columns(predicted)
    problems = [Column("problem", "Problem")] if any(o.problem for o in outcomes) else []
    rows = []
    for outcome in outcomes:
        point: list[Cell] = [_cell(text) for _, text in outcome.point]
        cells = [cell for q in measured for cell in _cells(q, outcome.total, first)]
        cells += [
            end for times in zip(predicted, outcome.predicted or (None,) * len(predicted),
                                 strict=True) for end in predicted_cells(*times)
        ]  # fmt: skip
        problem: list[Cell] = [outcome.problem or None for _ in problems]
        bound = frozenset() if outcome.complete else LOWER_BOUNDS
        rows.append(Row((*point, *cells, *problem), lower_bound=bound))
    return Table(title, (*columns, *measures, *problems), tuple(rows), tuple(notes))


FEW_GPUS = 4
"""So many columns of predicted times fit into a narrow terminal, beside what they are of."""


def predicted_columns(times: Sequence[PredictedTime]) -> list[Column]:
    """Of each GPU the predicted seconds, their interval, and their ratio to the first network."""
    columns = []
    priority = 0 if len(times) <= FEW_GPUS else 1
    for time in times:
        key = "_".join("".join(c if c.isalnum() else " " for c in time.place.lower()).split())
        columns += [
            Column(f"predicted_seconds_{key}", f"Predicted, {time.place}", "seconds", priority),
            Column(f"low_seconds_{key}", "80 % from", "seconds", 6),
            Column(f"high_seconds_{key}", "to", "seconds", 6),
            Column(f"predicted_ratio_{key}", "Predicted ×", "ratio", 2),
        ]
    return columns


def predicted_cells(first: PredictedTime, time: PredictedTime | None) -> tuple[Cell, ...]:
    """The cells below `predicted_columns` of one GPU; empty where nothing could be predicted."""
    if time is None:
        return (None,) * 4
    return time.seconds, time.low, time.high, time.seconds / first.seconds


def _ratio_column(quantity: Quantity) -> tuple[Column, ...]:
    return (RATIOS[quantity],) if quantity in RATIOS else ()


def _cells(quantity: Quantity, total: Totals | None, first: Totals) -> Iterator[Cell]:
    """The value of a point, and its ratio to the first where that has a column."""
    assert quantity.read is not None
    value = None if total is None else quantity.read(total)
    yield value
    if quantity in RATIOS:
        base = quantity.read(first)
        yield None if value is None or base is None else Difference(value, base).ratio


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
                    tuple(float(quantity.total(total)) for _, total in line),
                )
                for name, line in lines.items()
            ),
            name=quantity.key,
        )
        for quantity, axis in CHARTED
    )


def _longest_axis(outcomes: Sequence[Outcome]) -> str:
    """The key with the most values, a numeric one before others: it becomes the x axis."""
    keys = [key for key, _ in outcomes[0].point]
    values = {key: {dict(outcome.point)[key] for outcome in outcomes} for key in keys}

    def rank(key: str) -> tuple[bool, int]:
        return all(not isinstance(_cell(text), str) for text in values[key]), len(values[key])

    return max(keys, key=rank)
