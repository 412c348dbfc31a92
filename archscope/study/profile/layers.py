"""Profile → where the step's time goes, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records import LayerTime, Profile
from archscope.study.profile.headings import subject
from archscope.study.profile.launches import launch_bound_note
from archscope.study.profile.phases import (
    WAITS,
    basis,
    by_column,
    has_waits,
    phase_columns,
    profiled_seconds,
    summed,
    time_columns,
)
from archscope.study.profile.roofline import roofline_note
from archscope.study.profile.stages import macs_by_layer, together
from archscope.table import Cell, Column, Row, Table
from archscope.units import plural
from archscope.wording import layer_labels


def layer_table(profile: Profile, most: int | None) -> Table:
    """Time of every layer in execution order, or the slowest first with the rest in one row."""
    phases = phase_columns(profile)
    slowest = sorted(profile.layers, key=lambda row: -abs(row.total_seconds))
    chosen = slowest if most is None else slowest[:most]
    places = {id(row) for row in chosen}
    ordered = (
        profile.layers if most is None else sorted(slowest, key=lambda row: not row.in_network)
    )
    shown = [row for row in ordered if id(row) in places]
    rest = [row for row in profile.layers if id(row) not in places]
    labels = layer_labels(row.name for row in profile.layers if row.in_network)
    whole = _Whole(phases, profile)
    rows = [
        Row(
            (
                labels[row.name] if row.in_network else row.name,
                row.kind,
                row.call,
                *whole.cells([row]),
            )
        )
        for row in shown
    ]
    if rest:
        rows.append(
            Row((plural(len(rest), "other row"), None, None, *whole.cells(rest)), kind="note")
        )
    rows.append(Row(("step", None, None, *whole.cells(profile.layers)), kind="total"))
    name, *times = time_columns(Column("name", "Layer", "name"), phases)
    columns = (
        name,
        Column("kind", "Kind", "text", 2),
        Column("call", "Call", "exact", 0 if any(row.call for row in profile.layers) else 5),
        *times,
        Column("macs_share", "MACs", "percent", 1),
        Column("launches", "Launches", "exact", 3),
        *(WAITS if whole.waits else ()),
    )
    title = f"Slowest layers of {subject(profile)}" if rest else f"Layers of {subject(profile)}"
    return Table(title, columns, tuple(rows), _layer_notes(profile))


class _Whole:
    """What the rows of the layer table are shares of.

    Args:
        phases: the columns of seconds.
        profile: that the rows are of.
    """

    def __init__(self, phases: Sequence[str], profile: Profile) -> None:
        self.phases = phases
        self.profiled_seconds = profiled_seconds(profile)
        self.macs, self.waits = macs_by_layer(profile), has_waits(profile)
        self.all_macs = sum(self.macs.values())

    def cells(self, rows: Sequence[LayerTime]) -> tuple[Cell, ...]:
        """Seconds by phase and in total, shares of time and MACs, launches, waits of some rows."""
        columns = [by_column(row) for row in rows]
        sums = (
            summed([column.get(phase, 0.0) for column in columns])
            if any(phase in column for column in columns)
            else None
            for phase in self.phases
        )
        stage = together("", rows, self.macs)
        profiled = sum(row.total_seconds for row in rows if not row.is_cost_of_measuring)
        share = profiled / self.profiled_seconds if profiled else None
        macs_share = (
            stage.macs / self.all_macs if stage.macs is not None and self.all_macs else None
        )
        waits = [stage.waiting_seconds] if self.waits else []
        return *sums, stage.total_seconds, share, macs_share, stage.launches or None, *waits


def _layer_notes(profile: Profile) -> tuple[str, ...]:
    shares = ", ".join(f"{phase} {100 * s:.1f} %" for phase, s in profile.attributed.items())
    found = (f"Time attributed to a layer: {shares}.",) if shares else ()
    no_roofline = roofline_note(profile)
    bound = launch_bound_note(profile) if has_waits(profile) else ()
    return (basis(profile), *found, *bound, *((no_roofline,) if no_roofline else ()))
