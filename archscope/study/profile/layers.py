"""Profile → where the step's time goes, by stage of the network and by layer."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.ask.profile.roofline import counted_calls
from archscope.records import LayerTime, Measurement, Profile
from archscope.records.measured import PROFILER_OVERHEAD
from archscope.study.profile.launches import launch_bound_note
from archscope.study.profile.roofline import roofline_note
from archscope.table import Axis, Cell, Chart, Column, Row, Series, Table
from archscope.traces.rows import OVERLAP
from archscope.units import plural
from archscope.wording import OWN_WORK, layer_labels, network_title

LayerKey = tuple[str, int]
"""Name and index of a module call."""

PHASES = ("forward", "backward", "accumulation", "recompute", "optimizer")
"""Columns of the layer tables, in this order, where any row has such time."""

COLUMNS_NOTE = (
    "Accumulation: adding gradients up; MACs: share of those forward and backward; Other: time of "
    "no phase; Total: of all phases, those left out at a narrow width too."
)

OVERLAP_NOTE = (
    f"{OVERLAP}: rows have the time of all their kernels, and this one takes off what kernels of "
    f"several streams take at once, so that a row's share of the step may exceed 100 %. "
)

TIMED_BACKWARD = " The timed backward holds accumulation too."

WAITS_NOTE = "Waits: the last row, attributed to the layers that the profiled steps wait for. "

FASTEST_PROFILED = 0.9
"""Profiled steps that take a smaller multiple of the others were disturbed less."""

DISTURBED = (
    "Faster than without a profiler: other programs slowed the timed steps; try an idle machine."
)

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
    macs = _macs(profile)
    return [
        _together(name, members[outside, name], macs)
        for outside, name in sorted(members, key=lambda key: key[0])
    ]


def _together(name: str, rows: Sequence[LayerTime], macs: Mapping[LayerKey, int]) -> StageTime:
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


def profiled_seconds(profile: Profile) -> float:
    """Seconds of the profiled step, of which the rows give their shares."""
    return sum(row.total_seconds for row in profile.layers if not row.is_cost_of_measuring)


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


OTHER = "other"
"""Column of all that is of no phase: waiting, what the profiler costs, a stage of its own."""

MINOR = frozenset({"accumulation", "optimizer"})
"""Phases whose columns a narrow terminal leaves out; the total holds them."""


WAITS = (Column("waiting_seconds", "Waits", "seconds", 2),)


def has_waits(profile: Profile) -> bool:
    """Whether the rows say how long the device waited for them, as those of a trace do."""
    return any(row.waiting_seconds for row in profile.layers)


def _phase_columns(profile: Profile) -> list[str]:
    found = {phase for row in profile.layers for phase in row.seconds}
    rest = [OTHER] if found - set(PHASES) else []
    return [phase for phase in PHASES if phase in found] + rest


def _by_column(row: LayerTime) -> Mapping[str, float]:
    """A row's seconds with those of no phase together."""
    sums = {phase: seconds for phase, seconds in row.seconds.items() if phase in PHASES}
    rest = [seconds for phase, seconds in row.seconds.items() if phase not in PHASES]
    return {**sums, OTHER: sum(rest)} if rest else sums


def _time_columns(first: Column, phases: Sequence[str]) -> tuple[Column, ...]:
    return (
        first,
        *(
            Column(f"{phase}_seconds", phase.capitalize(), "seconds", int(phase in MINOR))
            for phase in phases
        ),
        Column("total_seconds", "Total", "seconds"),
        Column("time_share", "Time", "percent"),
    )


def stage_table(profile: Profile) -> Table:
    """Time and MACs by stage; the rows add up to the step."""
    phases, waits = _phase_columns(profile), has_waits(profile)
    stages, profiled = stage_times(profile), profiled_seconds(profile)
    macs = sum(stage.macs or 0 for stage in stages)
    rows = [
        Row(
            (
                stage.name,
                *(_by_column(stage).get(phase) for phase in phases),
                stage.total_seconds,
                None if stage.is_cost_of_measuring else stage.total_seconds / profiled,
                None if stage.macs is None or not macs else stage.macs / macs,
                stage.launches or None,
                *([stage.waiting_seconds] if waits else []),
            )
        )
        for stage in stages
    ]
    sums = [_summed([_by_column(stage).get(phase, 0.0) for stage in stages]) for phase in phases]
    whole = sum(stage.total_seconds for stage in stages)
    launches = sum(stage.launches for stage in stages)
    waiting = [sum(stage.waiting_seconds for stage in stages)] if waits else []
    shares = (1.0, 1.0 if macs else None)
    rows.append(Row(("step", *sums, whole, *shares, launches, *waiting), kind="total"))
    columns = (
        *_time_columns(Column("stage", "Stage", "name"), phases),
        Column("macs_share", "MACs", "percent", 1),
        Column("launches", "Launches", "exact", 3),
        *(WAITS if waits else ()),
    )
    return Table(f"Stages of {subject(profile)}", columns, tuple(rows), (_basis(profile),))


def tells_more(profile: Profile, most: int | None) -> bool:
    """Whether the stages say something that the layer table does not, with `most` rows of it."""
    rows = len(profile.layers)
    return len(stage_times(profile)) < rows or rows > (most or rows)


def layer_table(profile: Profile, most: int | None) -> Table:
    """Time of every layer in execution order, or the slowest first with the rest in one row."""
    phases = _phase_columns(profile)
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
    name, *times = _time_columns(Column("name", "Layer", "name"), phases)
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


def knows_batch(profile: Profile) -> bool:
    """Whether it says of how many samples a step is; a trace may not."""
    return bool(profile.input.tensors) and profile.environment.fact("batch") != "unknown"


def throughput(profile: Profile, phase: str) -> float | None:
    """Samples per second of a phase; `None` where the batch is unknown."""
    return profile.throughput(phase) if knows_batch(profile) else None


def speed(profile: Profile, phase: str) -> str:
    """`180 samples/s`, or the phase's median where the batch is unknown."""
    samples = throughput(profile, phase)
    median = units.seconds(profile.phases[phase].median)
    return median if samples is None else f"{units.rate(samples)} samples/s"


def subject(profile: Profile) -> str:
    """The network with its settings, and its batch where that is known."""
    name = network_title(profile.model, profile.keywords)
    return f"{name}, batch {profile.input.batch}" if knows_batch(profile) else name


def _macs(profile: Profile) -> dict[LayerKey, int]:
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


class _Whole:
    """What the rows of the layer table are shares of.

    Args:
        phases: the columns of seconds.
        profile: that the rows are of.
    """

    def __init__(self, phases: Sequence[str], profile: Profile) -> None:
        self.phases = phases
        self.profiled_seconds = profiled_seconds(profile)
        self.macs, self.waits = _macs(profile), has_waits(profile)
        self.all_macs = sum(self.macs.values())

    def cells(self, rows: Sequence[LayerTime]) -> tuple[Cell, ...]:
        """Seconds by phase and in total, shares of time and MACs, launches, waits of some rows."""
        columns = [_by_column(row) for row in rows]
        sums = (
            _summed([column.get(phase, 0.0) for column in columns])
            if any(phase in column for column in columns)
            else None
            for phase in self.phases
        )
        stage = _together("", rows, self.macs)
        profiled = sum(row.total_seconds for row in rows if not row.is_cost_of_measuring)
        share = profiled / self.profiled_seconds if profiled else None
        macs_share = (
            stage.macs / self.all_macs if stage.macs is not None and self.all_macs else None
        )
        waits = [stage.waiting_seconds] if self.waits else []
        return *sums, stage.total_seconds, share, macs_share, stage.launches or None, *waits


RESIDUE = 1e-9
"""Of what is added up: a smaller sum is what rounding leaves of seconds that cancel."""


def _summed(seconds: Sequence[float]) -> float | None:
    """Their sum, `None` where they cancel."""
    found = math.fsum(seconds)
    return found if abs(found) > RESIDUE * max(map(abs, seconds), default=0.0) else None


def _basis(profile: Profile) -> str:
    """What the seconds of the rows are, and by what they add up to the step."""
    if profile.environment.fact("trace"):
        own = "kernels" if profile.environment.device != "cpu" else "operators"
        overlap = OVERLAP_NOTE if any(row.name == OVERLAP for row in profile.layers) else ""
        return (
            f"Busy time of {own}, the mean of the traced steps without their fastest and slowest "
            f"quarter. Launches: {own}. {overlap}{COLUMNS_NOTE}"
        )
    if profile.environment.device.startswith("cuda"):
        return (
            "Busy time of kernels; the last row leads to the latency measured without profiler. "
            f"Launches: kernels. {WAITS_NOTE if has_waits(profile) else ''}{COLUMNS_NOTE}"
            f"{TIMED_BACKWARD}"
        )
    whole = sum(row.total_seconds for row in profile.layers)
    times = profiled_seconds(profile) / whole
    hint = f" {DISTURBED}" if times < FASTEST_PROFILED else ""
    return (
        f"Rows are from profiled steps, which take {times:.2f} times as long as the step timed "
        f"without profiler; {PROFILER_OVERHEAD} is the difference.{hint} "
        f"Time: share of the profiled step. Launches: operators. {COLUMNS_NOTE}{TIMED_BACKWARD}"
    )


def _layer_notes(profile: Profile) -> tuple[str, ...]:
    shares = ", ".join(f"{phase} {100 * s:.1f} %" for phase, s in profile.attributed.items())
    found = (f"Time attributed to a layer: {shares}.",) if shares else ()
    no_roofline = roofline_note(profile)
    bound = launch_bound_note(profile) if has_waits(profile) else ()
    return (_basis(profile), *found, *bound, *((no_roofline,) if no_roofline else ()))


ERRORS = "Whiskers: 95 % interval of the median."


def interval(measurement: Measurement) -> tuple[float, float] | None:
    """That of the median, `None` where the runs are too few for one."""
    known = measurement.known_half_width is not None
    return (measurement.median_low, measurement.median_high) if known else None


def measured_where(profiles: Iterable[Profile]) -> str:
    """`batch 2 on AMD EPYC`, each once where profiles differ."""
    return "; ".join(dict.fromkeys(f"batch {p.input.batch} on {device_name(p)}" for p in profiles))


def device_name(profile: Profile) -> str:
    """The model of the device, `NVIDIA A100-SXM4-80GB`; else what PyTorch calls it, `cuda:0`."""
    return profile.environment.fact("device name") or profile.environment.device


def heading(profile: Profile) -> str:
    """What was measured, in which dtype, on what."""
    device = device_name(profile)
    dtype = profile.environment.fact("network dtype")
    cast = profile.environment.fact("autocast")
    if cast:
        dtype = f"{dtype}, autocast to {cast}"
    within = f", {dtype}" if dtype else ""
    name = network_title(profile.model, profile.keywords)
    input = f", input {profile.input}" if knows_batch(profile) else ""
    return f"{name}{within}{input}, on {device}"


def stage_chart(profile: Profile) -> Chart:
    """Stacked bars: forward, backward and other time of each stage."""
    stages = [
        stage
        for stage in stage_times(profile)
        if stage.total_seconds > 0 and not stage.is_cost_of_measuring
    ]
    phases = _phase_columns(profile)
    series = [
        Series(
            phase,
            tuple(stage.name for stage in stages),
            tuple(max(0.0, _by_column(stage).get(phase, 0.0)) for stage in stages),
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
