"""Charts over the group count: a line for each view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archscope.ask.groups.views import Equal, GroupSweep
from archscope.records import Profile
from archscope.study.profile.headings import ERRORS, measured_where
from archscope.study.sweep import CHARTED
from archscope.table import Axis, Cell, Chart, Series

HELD = {"none": "equal width", "macs": "equal MACs", "params": "equal parameters"}

MEASURED = (
    ("forward_seconds", Axis("Forward time", "seconds")),
    ("backward_seconds", Axis("Backward time", "seconds")),
)


def charts(
    sweep: GroupSweep,
    values: dict[Equal, list[dict[str, Cell]]],
    timed: Mapping[tuple[int, int], Profile],
) -> tuple[Chart, ...]:
    """One chart for each quantity that at least one view has at two group counts."""
    found = []
    for key, axis in (*((quantity.key, axis) for quantity, axis in CHARTED), *MEASURED):
        drawn = [
            Series(HELD[view], *_points(rows, key), errors=_errors(rows, key))
            for view, rows in values.items()
        ]
        # A view of one point stays too: each view has the same colour in every chart.
        series = tuple(line for line in drawn if line.x)
        if any(len(line.x) > 1 for line in series):
            name = f"{axis.title} of {sweep.base.analysis.model} by group count"
            if axis.unit == "seconds":
                name = f"{name}, {measured_where(timed.values())}"
            groups = Axis("Groups", "exact", log=True)
            notes = (ERRORS,) if axis.unit == "seconds" else ()
            found.append(Chart(name, "line", groups, axis, series, notes=notes, name=key))
    return tuple(found)


def _points(
    rows: Sequence[dict[str, Cell]], key: str
) -> tuple[tuple[float | str, ...], tuple[float | None, ...]]:
    known = [(row["groups"], row[key]) for row in rows]
    numbers = [(x, y) for x, y in known if isinstance(x, int) and isinstance(y, int | float)]
    return tuple(float(x) for x, _ in numbers), tuple(float(y) for _, y in numbers)


def _errors(rows: Sequence[dict[str, Cell]], key: str) -> tuple[tuple[float, float] | None, ...]:
    """The interval of each measured point, from the half width beside it."""
    if not key.endswith("_seconds"):
        return ()
    known = [(row[key], row.get(key.replace("_seconds", "_half_width"))) for row in rows]
    return tuple(
        (y * (1 - half), y * (1 + half)) if isinstance(half, float) else None
        for y, half in known
        if isinstance(y, int | float)
    )
