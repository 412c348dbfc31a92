"""A sweep over group counts → one table a view, and charts over the group count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from archscope.ask.groups.family import PER_GROUP
from archscope.ask.groups.members import Member
from archscope.ask.groups.views import Equal, GroupSweep, Uncounted
from archscope.ask.profile.doubts import doubts
from archscope.quantities import (
    ACTIVATIONS,
    BYTES_MOVED,
    INTENSITY,
    LOWER_BOUNDS,
    MACS,
    MACS_BACKWARD,
    PARAMS,
)
from archscope.records import Analysis, Measurement, Profile, totals
from archscope.study.compare.tables import NONE, NONE_NOTE, time_ratio
from archscope.study.groups.stages import stage_tables
from archscope.study.profile.layers import ERRORS, device_name, measured_where
from archscope.study.sweep import CHARTED, predicted_cells, predicted_columns
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.units import plural, ratio, si
from archscope.wording import CONVENTION, PREDICTED

if TYPE_CHECKING:
    from archscope.ask.groups.times import PredictedTimes

HELD = {"none": "equal width", "macs": "equal MACs", "params": "equal parameters"}

PAPER_TOP1_ERROR = {
    "resnet50": {(1, 64): 23.9, (2, 40): 23.0, (4, 24): 22.6, (8, 14): 22.3, (32, 4): 22.2},
    "resnet101": {(1, 64): 22.0, (2, 40): 21.7, (4, 24): 21.4, (8, 14): 21.3, (32, 4): 21.2},
}
"""ImageNet top-1 error in percent by (groups, width per group): Xie et al. 2017, Table 3."""

PAPER_NOTE = (
    "Top-1 error: one 224×224 crop of ImageNet's validation images, Xie et al. 2017, Table 3."
)
LARGEST_DENOMINATOR = 256

COLUMNS = (
    Column("groups", "Groups", "exact"),
    Column("width", "Width", "exact"),
    Column("group_conv_width", "Group conv width", "exact", 3),
    PARAMS.column(),
    Column("params_ratio", "Params ×", "ratio", 4),
    MACS.column(),
    Column("macs_ratio", "MACs ×", "ratio", 2),
    MACS_BACKWARD.column(6),
    Column("group_conv_params_ratio", "Group conv params", "text", 1),
    Column("group_conv_macs_ratio", "Group conv MACs", "text", 1),
    ACTIVATIONS.column(3),
    BYTES_MOVED.column(7),
    INTENSITY.column(8),
    Column("forward_seconds", "Forward time", "seconds", 1),
    Column("forward_half_width", "Forward ±", "percent", 4),
    Column("forward_ratio", "Forward time ×", "text", 1),
    Column("backward_seconds", "Backward time", "seconds", 1),
    Column("backward_half_width", "Backward ±", "percent", 4),
    Column("backward_ratio", "Backward time ×", "text", 1),
    Column("top1_error", "Top-1 error", "percent", 2),
    Column("problem", "Problem"),
)
SHOWN = (PARAMS, MACS, MACS_BACKWARD, ACTIVATIONS, BYTES_MOVED, INTENSITY)
TIMED = ("forward", "backward")
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
        notes: sentences to stand below the last table; see `unused`.
        predicted: steps of the networks by group count and width.
    """
    values = {
        view: [
            {**_values(sweep, member, profiles), **_predicted(sweep, member, predicted)}
            for member in members
        ]
        for view, members in sweep.views.items()
    }
    found = {key for rows in values.values() for row in rows for key in row if row[key] is not None}
    of_times = predicted_columns(next(iter(predicted.values()), ()))
    columns = [*COLUMNS[:-2], *of_times, *COLUMNS[-2:]]
    shown = [c for c in columns if c.key not in _OPTIONAL or c.key in found]
    tables = [_table(sweep, view, rows, shown, profiles) for view, rows in values.items()]
    timed = _timed(sweep, profiles)
    staged = stage_tables(sweep.by, timed)
    said = (*sweep.base.analysis.notes, *_doubts(timed), *([PREDICTED] if predicted else []))
    tables[-1] = replace(tables[-1], notes=(*notes, *said, *tables[-1].notes))
    title = f"Group counts of {sweep.base.analysis.model}"
    charts = _charts(sweep, values, timed)
    answer = _answer(sweep, next(iter(values.values())))
    data = _data(title, values, columns)
    return Report(title, (*tables, *staged), charts, data=data, answer=answer)


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


def same_network(analysis: Analysis, profile: Profile) -> bool:
    """Whether a profile measured the network that was counted, at any batch size."""
    counted = profile.analysis
    if counted is None or len(counted.layers) != len(analysis.layers):
        return False
    mine, other = analysis.total, counted.total
    batches = analysis.input.batch, counted.input.batch
    if not (isinstance(batches[0], int) and isinstance(batches[1], int)):
        return False
    return mine.params == other.params and mine.macs * batches[1] == other.macs * batches[0]


def unused(sweep: GroupSweep, profiles: Sequence[Profile]) -> list[str]:
    """Of each profile, why no row has its times; empty where one does."""
    taken: set[int] = set()
    reasons = []
    for profile in profiles:
        rows = {
            index
            for index, member in enumerate(m for view in sweep.views for m in sweep.counted(view))
            if same_network(member.analysis, profile)
        }
        if not rows:
            reasons.append(_no_row(sweep, profile))
        elif not {"forward", "backward"} & profile.phases.keys():
            reasons.append("it holds no forward or backward time")
        elif rows <= taken:
            reasons.append("its rows already have the times of an earlier file")
        else:
            reasons.append("")
        taken |= rows
    return reasons


def _no_row(sweep: GroupSweep, profile: Profile) -> str:
    """Why no row counts as a profile does."""
    counted = sweep.base.analysis.input
    if profile.analysis is None:
        return "it holds no count to find its row by"
    if profile.input.sample_shapes != counted.sample_shapes:
        return f"it is measured on {profile.input}, and the rows count {counted}"
    total = profile.analysis.total
    return f"no row has its {total.params:,} parameters and {si(total.macs)}MACs"


def _values(
    sweep: GroupSweep, member: Member | Uncounted, profiles: Sequence[Profile]
) -> dict[str, Cell]:
    """Every value of one row by its column."""
    row: dict[str, Cell] = dict.fromkeys(column.key for column in COLUMNS)
    row |= {"groups": member.groups, "width": member.width}
    if isinstance(member, Uncounted):
        return {**row, "problem": member.error.problem}
    analysis = member.analysis
    base, total = sweep.base.analysis.total, analysis.total
    for quantity in SHOWN:
        row[quantity.key] = None if quantity.read is None else quantity.read(total)
    for quantity in (PARAMS, MACS):
        row[f"{quantity.key}_ratio"] = quantity.total(total) / quantity.total(base)
    grouped = sweep.grouped_layers(analysis)
    if grouped:
        row["group_conv_width"] = grouped[0].setting("out_channels")
        own, single = totals(grouped), totals(sweep.grouped_layers(sweep.single.analysis))
        row["group_conv_params_ratio"] = own.params / single.params
        row["group_conv_macs_ratio"] = own.macs / single.macs
    for phase in TIMED:
        row |= _times(phase, _measured(analysis, phase, profiles),
                      _measured(sweep.base.analysis, phase, profiles))  # fmt: skip
    error = _paper_error(sweep, member)
    row["top1_error"] = None if error is None else error / 100
    return row


def _predicted(
    sweep: GroupSweep, member: Member | Uncounted, predicted: PredictedTimes
) -> dict[str, Cell]:
    """The predicted steps of a member, beside those of the base."""
    first = predicted.get((sweep.base.groups, sweep.base.width), ())
    known = member.width is not None and not isinstance(member, Uncounted)
    found = predicted.get((member.groups, member.width or 0), ()) if known else ()
    cells: dict[str, Cell] = {}
    for base, time in zip(first, found or (None,) * len(first), strict=True):
        keys = (column.key for column in predicted_columns((base,)))
        cells |= dict(zip(keys, predicted_cells(base, time), strict=True))
    return cells


def _timed(sweep: GroupSweep, profiles: Sequence[Profile]) -> dict[tuple[int, int], Profile]:
    """By group count and width, what was measured of the networks of all views."""
    found = {
        (member.groups, member.width): _profile(member.analysis, profiles)
        for view in sweep.views
        for member in sweep.counted(view)
    }
    return {key: profile for key, profile in sorted(found.items()) if profile is not None}


def _doubts(timed: Mapping[tuple[int, int], Profile]) -> list[str]:
    return [
        f"{groups} × {width}: {' '.join(found)}"
        for (groups, width), profile in timed.items()
        if (found := doubts(profile, TIMED))
    ]


def _profile(analysis: Analysis, profiles: Sequence[Profile]) -> Profile | None:
    return next((profile for profile in profiles if same_network(analysis, profile)), None)


def _measured(analysis: Analysis, phase: str, profiles: Sequence[Profile]) -> Measurement | None:
    profile = _profile(analysis, profiles)
    return None if profile is None else profile.phases.get(phase)


def _times(phase: str, own: Measurement | None, base: Measurement | None) -> dict[str, Cell]:
    """Median, interval and ratio to the base's median of one phase."""
    if own is None:
        return {}
    quotient = time_ratio(own, base)
    return {
        f"{phase}_seconds": own.median,
        f"{phase}_half_width": own.known_half_width,
        f"{phase}_ratio": ratio(quotient) if isinstance(quotient, float) else quotient,
    }


def _shown(key: str, cell: Cell) -> Cell:
    """A cell of a table; a quotient as people check it: `1/32`, or a decimal."""
    if key not in _FRACTIONS or not isinstance(cell, float):
        return cell
    near = Fraction(cell).limit_denominator(LARGEST_DENOMINATOR)
    return str(near) if float(near) == cell else ratio(cell)


def _paper_error(sweep: GroupSweep, member: Member) -> float | None:
    """The paper's figure, where this is the paper's network."""
    analysis = sweep.base.analysis
    if sweep.by != PER_GROUP:
        return None
    keywords = dict(analysis.keywords)
    depth = keywords.pop("depth", "50")
    for swept in ("groups", PER_GROUP):
        keywords.pop(swept, None)
    if keywords:
        return None
    name = f"resnet{depth}" if analysis.model == "resnext" else analysis.model
    return PAPER_TOP1_ERROR.get(name, {}).get((member.groups, member.width))


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
        yield from parting_widths(sweep)
    keys = {column.key for column in shown}
    if "forward_seconds" in keys:
        yield f"Times: medians measured at {measured_where(profiles)}."
        if len({device_name(profile) for profile in profiles}) > 1:
            yield "These are different devices, so a ratio of times compares devices too."
        yield (
            "±: half of the median's 95 % interval, – where the runs were too few for one; such a "
            "median has no ratio."
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


def parting_widths(sweep: GroupSweep) -> Iterator[str]:
    """A sentence for each group count at which equal MACs and equal parameters part."""
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


MEASURED = (
    ("forward_seconds", Axis("Forward time", "seconds")),
    ("backward_seconds", Axis("Backward time", "seconds")),
)


def _charts(
    sweep: GroupSweep,
    values: dict[Equal, list[dict[str, Cell]]],
    timed: Mapping[tuple[int, int], Profile],
) -> tuple[Chart, ...]:
    charts = []
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
            charts.append(Chart(name, "line", groups, axis, series, notes=notes, name=key))
    return tuple(charts)


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
