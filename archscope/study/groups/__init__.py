"""A sweep over group counts → one table a view, and charts over the group count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from archscope.ask.groups.views import Equal, GroupSweep, Uncounted
from archscope.ask.profile.doubts import doubts
from archscope.quantities import LOWER_BOUNDS
from archscope.records import Profile, totals
from archscope.study.compare.tables import NONE, NONE_NOTE
from archscope.study.groups.charts import HELD, charts
from archscope.study.groups.measured import timed_networks, unused, unused_notes
from archscope.study.groups.rows import COLUMNS, TIMED, predicted_values, row_values
from archscope.study.groups.stages import stage_tables
from archscope.study.profile.headings import device_name, measured_where
from archscope.study.sweep import predicted_columns
from archscope.table import Cell, Column, Report, Row, Table
from archscope.units import plural, ratio, si
from archscope.wording import CONVENTION, PREDICTED

if TYPE_CHECKING:
    from archscope.ask.groups.times import PredictedTimes

__all__ = ["different_widths", "file_name", "group_report", "unused", "unused_notes"]

PAPER_NOTE = (
    "Top-1 error: one 224×224 crop of ImageNet's validation images, Xie et al. 2017, Table 3."
)
LARGEST_DENOMINATOR = 256

_OPTIONAL = (
    *(f"{phase}_{fact}" for phase in TIMED for fact in ("seconds", "half_width", "ratio")),
    "top1_error",
    "problem",
)
_FRACTIONS = ("group_conv_params_ratio", "group_conv_macs_ratio")


NOTHING_PREDICTED: PredictedTimes = {}


def file_name(groups: int, width: int) -> str:
    """What the files of one network of the sweep are called in reports: `groups-32x4d`."""
    return f"groups-{groups}x{width}d"


def group_report(
    sweep: GroupSweep,
    profiles: Sequence[Profile] = (),
    notes: Sequence[str] = (),
    predicted: PredictedTimes = NOTHING_PREDICTED,
) -> Report:
    """One table a view, with the charts over the group count.

    Args:
        sweep: what was counted.
        profiles: measured networks; each joins the rows that count as it does.
        notes: sentences to stand below the last table; see `unused_notes`.
        predicted: steps of the networks by group count and width.
    """
    values = {
        view: [
            {**row_values(sweep, member, profiles), **predicted_values(sweep, member, predicted)}
            for member in members
        ]
        for view, members in sweep.views.items()
    }
    found = {key for rows in values.values() for row in rows for key in row if row[key] is not None}
    of_times = predicted_columns(next(iter(predicted.values()), ()))
    columns = [*COLUMNS[:-2], *of_times, *COLUMNS[-2:]]
    shown = [c for c in columns if c.key not in _OPTIONAL or c.key in found]
    tables = [_table(sweep, view, rows, shown, profiles) for view, rows in values.items()]
    timed = timed_networks(sweep, profiles)
    staged = stage_tables(sweep.by, timed)
    said = (*sweep.base.analysis.notes, *_doubts(timed), *([PREDICTED] if predicted else []))
    tables[-1] = replace(tables[-1], notes=(*notes, *said, *tables[-1].notes))
    title = f"Group counts of {sweep.base.analysis.model}"
    answer = _answer(sweep, next(iter(values.values())))
    data = _data(title, values, columns)
    drawn = charts(sweep, values, timed)
    return Report(title, (*tables, *staged), drawn, data=data, answer=answer)


def _answer(sweep: GroupSweep, rows: Sequence[dict[str, Cell]]) -> str:
    """How far the MACs of the first view go from its first row to its last."""
    first, last = rows[0], rows[-1]
    macs, params = (
        ratio(float(last[key] or 0) / float(first[key] or 1)) for key in ("macs", "params")
    )
    return (
        f"At {HELD[next(iter(sweep.views))]}, {last['groups']} groups instead of "
        f"{first['groups']} take {macs} the MACs and {params} the parameters."
    )


def _doubts(timed: Mapping[tuple[int, int], Profile]) -> list[str]:
    return [
        f"{groups} × {width}: {' '.join(found)}"
        for (groups, width), profile in timed.items()
        if (found := doubts(profile, TIMED))
    ]


def _shown(key: str, cell: Cell) -> Cell:
    """A cell of a table; a quotient as people check it: `1/32`, or a decimal."""
    if key not in _FRACTIONS or not isinstance(cell, float):
        return cell
    near = Fraction(cell).limit_denominator(LARGEST_DENOMINATOR)
    return str(near) if float(near) == cell else ratio(cell)


def _table(
    sweep: GroupSweep,
    view: Equal,
    values: Sequence[dict[str, Cell]],
    shown: Sequence[Column],
    profiles: Sequence[Profile],
) -> Table:
    columns = [
        Column("width", _width_title(sweep.by), "exact") if c.key == "width" else c for c in shown
    ]
    rows = []
    for row, member in zip(values, sweep.views[view], strict=True):
        complete = isinstance(member, Uncounted) or member.analysis.coverage.complete
        bound = frozenset() if complete else LOWER_BOUNDS
        rows.append(Row(tuple(_shown(c.key, row.get(c.key)) for c in columns), lower_bound=bound))
    title = f"{sweep.base.analysis.model} at {HELD[view]}, by group count"
    return Table(
        title, tuple(columns), tuple(rows), tuple(_notes(sweep, view, values, shown, profiles))
    )


def _width_title(keyword: str) -> str:
    return keyword.replace("_", " ").capitalize()


def _notes(
    sweep: GroupSweep,
    view: Equal,
    values: Sequence[dict[str, Cell]],
    shown: Sequence[Column],
    profiles: Sequence[Profile],
) -> Iterator[str]:
    base = sweep.base
    total = base.analysis.total
    yield (
        f"× compares with {base.analysis.model} as it is (groups={base.groups}, {sweep.by}="
        f"{base.width}): {total.params:,} params, {si(total.macs)}MACs on {base.analysis.input}. "
        f"Group conv columns compare the {len(sweep.grouped)} grouped convolutions with one group "
        f"at that network's width."
    )
    if view == "none" and _falls_to_one_over_g(sweep):
        yield "Here they have exactly 1/groups of the parameters and MACs; the network does not."
    if view == "macs":
        yield from different_widths(sweep)
    keys = {column.key for column in shown}
    if "forward_seconds" in keys:
        yield f"Times: medians measured at {measured_where(profiles)}."
        if len({device_name(profile) for profile in profiles}) > 1:
            yield "These are different devices, so a ratio of times compares devices too."
        yield (
            "±: half of the median's 95 % interval, – where the runs were too few for one or it is "
            "wider than the median; such a median has no ratio."
        )
    if any(row[f"{phase}_ratio"] == NONE for row in values for phase in TIMED):
        yield NONE_NOTE
    if "top1_error" in keys:
        yield PAPER_NOTE
    if view == list(sweep.views)[-1]:
        yield CONVENTION


def _falls_to_one_over_g(sweep: GroupSweep) -> bool:
    single = totals(sweep.grouped_layers(sweep.single.analysis))
    members = sweep.counted("none")
    return any(m.groups > 1 for m in members) and all(
        own.params * member.groups == single.params and own.macs * member.groups == single.macs
        for member in members
        for own in [totals(sweep.grouped_layers(member.analysis))]
    )


def different_widths(sweep: GroupSweep) -> Iterator[str]:
    """A sentence for each group count whose widths differ at equal MACs and equal parameters."""
    by_params = {member.groups: member for member in sweep.counted("params")}
    base = sweep.base.analysis
    for member in sweep.counted("macs"):
        other = by_params.get(member.groups)
        if other is None or member.width == other.width:
            continue
        mine, theirs = member.analysis.total, other.analysis.total
        yield (
            f"At {plural(member.groups, 'group')} the two differ: {sweep.by} {other.width} comes "
            f"nearest in parameters ({ratio(theirs.params / base.total.params)}), but costs "
            f"{ratio(theirs.macs / base.total.macs)} the MACs, where {member.width} costs "
            f"{ratio(mine.macs / base.total.macs)}."
        )


def _data(
    title: str, values: dict[Equal, list[dict[str, Cell]]], columns: Sequence[Column]
) -> Table:
    """All views as plain rows with numbers only."""
    rows = tuple(
        Row((view, *(row.get(column.key) for column in columns)))
        for view, rows in values.items()
        for row in rows
    )
    return Table(title, (Column("equal", "Equal", "text"), *columns), rows)
