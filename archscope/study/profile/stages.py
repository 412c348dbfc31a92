"""Profile → the stages of the network: rows of layers together, beside their MACs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archscope.ask.profile.roofline import counted_calls
from archscope.records import LayerTime, Profile
from archscope.study.profile.headings import heading, subject
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
from archscope.table import Axis, Chart, Column, Row, Series, Table
from archscope.wording import OWN_WORK

LayerKey = tuple[str, int]
"""Name and index of a module call."""


DOMINANT = 0.7
"""A stage that takes more than this share of the time is shown by its children instead."""


@dataclass(frozen=True, slots=True)
class StageTime(LayerTime):
    """Rows of one part of the network together.

    Args:
        macs: forward and backward multiply-accumulates, `None` for a row that is no layer.
    """

    macs: int | None = None


def stage_times(profile: Profile) -> list[StageTime]:
    """The rows gathered by stage, in execution order; rows outside the network stand last.

    Stages are the network's direct children; one that takes most of the time is split up.
    """
    return _stages(profile, _stage_names([row for row in profile.layers if row.in_network]))


def shared_stage_times(profiles: Sequence[Profile]) -> list[list[StageTime]]:
    """The same of several profiles of one network, whose stages are split up alike."""
    names = _stage_names([row for each in profiles for row in each.layers if row.in_network])
    return [_stages(profile, names) for profile in profiles]


def _stages(profile: Profile, names: Mapping[str, str]) -> list[StageTime]:
    """The rows gathered by the stage that each of their names is in."""
    members: dict[tuple[bool, str], list[LayerTime]] = defaultdict(list)
    for row in profile.layers:
        members[not row.in_network, names[row.name] if row.in_network else row.name].append(row)
    macs = macs_by_layer(profile)
    return [
        together(name, members[outside, name], macs)
        for outside, name in sorted(members, key=lambda key: key[0])
    ]


def together(name: str, rows: Sequence[LayerTime], macs: Mapping[LayerKey, int]) -> StageTime:
    seconds: Counter[str] = Counter()
    for row in rows:
        seconds.update(row.seconds)
    counted = [
        macs[row.name, row.call] for row in rows if row.in_network and (row.name, row.call) in macs
    ]
    return StageTime(
        name,
        "stage",
        seconds=seconds,
        launches=sum(row.launches for row in rows),
        waiting_seconds=sum(row.waiting_seconds for row in rows),
        in_network=rows[0].in_network,
        macs=sum(counted) if counted else None,
    )


def _stage_names(rows: Sequence[LayerTime]) -> dict[str, str]:
    """The stage of each row's name: its first component, or more of them under a dominant one."""
    total = sum(row.total_seconds for row in rows)
    depth = {row.name: 1 for row in rows}
    while True:
        groups: dict[str, list[LayerTime]] = defaultdict(list)
        for row in rows:
            groups[".".join(row.name.split(".")[: depth[row.name]])].append(row)
        dominant = next(
            (
                (name, members)
                for name, members in groups.items()
                if sum(row.total_seconds for row in members) > DOMINANT * total
                and any(row.name.count(".") > name.count(".") for row in members)
            ),
            None,
        )
        if dominant is None:
            return {
                row.name: name or OWN_WORK for name, members in groups.items() for row in members
            }
        for name in {row.name for row in dominant[1]}:  # of a module's calls each is a row
            depth[name] += 1


def _share(stage: LayerTime, profiled: float) -> float | None:
    """The share of a step, which may have taken no time in a file that somebody changed."""
    return None if stage.is_cost_of_measuring or not profiled else stage.total_seconds / profiled


def stage_table(profile: Profile) -> Table:
    """Time and MACs by stage; the rows add up to the step."""
    phases, waits = phase_columns(profile), has_waits(profile)
    stages, profiled = stage_times(profile), profiled_seconds(profile)
    macs = sum(stage.macs or 0 for stage in stages)
    rows = [
        Row(
            (
                stage.name,
                *(by_column(stage).get(phase) for phase in phases),
                stage.total_seconds,
                _share(stage, profiled),
                None if stage.macs is None or not macs else stage.macs / macs,
                stage.launches or None,
                *([stage.waiting_seconds] if waits else []),
            )
        )
        for stage in stages
    ]
    sums = [summed([by_column(stage).get(phase, 0.0) for stage in stages]) for phase in phases]
    whole = sum(stage.total_seconds for stage in stages)
    launches = sum(stage.launches for stage in stages)
    waiting = [sum(stage.waiting_seconds for stage in stages)] if waits else []
    shares = (1.0, 1.0 if macs else None)
    rows.append(Row(("step", *sums, whole, *shares, launches, *waiting), kind="total"))
    columns = (
        *time_columns(Column("stage", "Stage", "name"), phases),
        Column("macs_share", "MACs", "percent", 1),
        Column("launches", "Launches", "exact", 3),
        *(WAITS if waits else ()),
    )
    return Table(f"Stages of {subject(profile)}", columns, tuple(rows), (basis(profile),))


def tells_more(profile: Profile, most: int | None) -> bool:
    """Whether the stages say something that the layer table does not, with `most` rows of it."""
    rows = len(profile.layers)
    return len(stage_times(profile)) < rows or rows > (most or rows)


def macs_by_layer(profile: Profile) -> dict[LayerKey, int]:
    """Forward and backward multiply-accumulates of each row that is a counted layer."""
    calls = counted_calls(profile)
    found: dict[LayerKey, int] = {}
    for row in profile.layers:
        layer = calls.get((row.name, row.call)) if row.in_network else None
        if layer is not None:
            # Of several passes one may be of evaluation.
            has_backward = profile.passes == 1 or "backward" in row.seconds
            backward = (layer.macs_backward or 0) if has_backward else 0
            found[row.name, row.call] = layer.macs + backward
    return found


def stage_chart(profile: Profile) -> Chart:
    """Stacked bars: forward, backward and other time of each stage."""
    stages = [
        stage
        for stage in stage_times(profile)
        if stage.total_seconds > 0 and not stage.is_cost_of_measuring
    ]
    phases = phase_columns(profile)
    series = [
        Series(
            phase,
            tuple(stage.name for stage in stages),
            tuple(max(0.0, by_column(stage).get(phase, 0.0)) for stage in stages),
        )
        for phase in phases
    ]
    series = [each for each in series if any(each.y)]
    title = f"Time by stage: {heading(profile)}"
    axes = Axis("stage", "text"), Axis("time", "seconds")
    return Chart(title, "stacked", *axes, tuple(series), name="stages")


def share_chart(profile: Profile) -> Chart | None:
    """Bars: each stage's share of the time beside its share of the MACs."""
    stages = [stage for stage in stage_times(profile) if stage.macs]
    macs = sum(stage.macs or 0 for stage in stages)
    whole = profiled_seconds(profile)
    if not macs:
        return None
    names = tuple(stage.name for stage in stages)
    series = (
        Series("share of time", names, tuple(stage.total_seconds / whole for stage in stages)),
        Series("share of MACs", names, tuple((stage.macs or 0) / macs for stage in stages)),
    )
    title = f"Time and MACs by stage: {heading(profile)}"
    return Chart(
        title, "bars", Axis("stage", "text"), Axis("share", "percent"), series, name="shares"
    )
