"""Profile → tables and charts: the whole step, its stages and layers, memory, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from archscope.measure.sampling import drift, outliers
from archscope.records import LayerTime, Measurement, Profile
from archscope.study.roofline import roofline_chart, roofline_table, work_by_call
from archscope.study.tree import OWN_WORK
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table

PHASES = ("forward", "backward", "accumulation", "recompute", "optimizer")
"""Columns of the layer tables, in this order, where any row has such time."""

DOMINANT = 0.7
"""A stage that takes more than this share of the time is told by its children instead."""

WHOLE_STEP = (
    Column("phase", "Phase", "name"),
    Column("median_seconds", "Median", "seconds"),
    Column("half_width", "±", "percent"),
    Column("samples_per_second", "Samples/s", "decimal"),
    Column("quartile_low_seconds", "25 %", "seconds", 3),
    Column("quartile_high_seconds", "75 %", "seconds", 3),
    Column("minimum_seconds", "Minimum", "seconds", 2),
    Column("count", "Runs", "exact", 2),
    Column("warmup", "Warm-up", "exact", 5),
    Column("first_seconds", "First call", "seconds", 4),
    Column("outliers", "Outliers", "exact", 5),
    Column("drift", "Drift", "percent", 4),
)

CLOCKS = {
    " stream": "stream: CUDA events around steps queued back to back (throughput)",
    " graph": "graph: replay of the step as one CUDA graph (no launches)",
}


def profile_report(profiles: Sequence[Profile], *, every_layer: bool = False) -> Report:
    """Everything that was measured about one network, at one batch size or several.

    Args:
        profiles: of the same network on the same device, by rising batch.
        every_layer: list every layer instead of the slowest.
    """
    detailed = [profile for profile in profiles if profile.layers] or list(profiles[-1:])
    last = detailed[-1]
    tables = [whole_step_table(profile) for profile in profiles]
    charts: list[Chart | None] = []
    if last.layers:
        tables += [stage_table(last), layer_table(last, None if every_layer else 20)]
        roofline = roofline_table(last)
        tables += [roofline] if roofline is not None else []
        charts += [roofline_chart(last), stage_chart(last), share_chart(last)]
    if last.peak_bytes:
        tables.append(memory_table(last))
    if len(profiles) > 1:
        charts.append(throughput_chart(profiles))
    tables.append(environment_table(last))
    return Report(
        title=f"Profile of {last.model}",
        tables=tuple(tables),
        charts=tuple(chart for chart in charts if chart is not None),
        record=profiles[0] if len(profiles) == 1 else None,
        data=layer_table(last, None) if last.layers else None,
    )


def _heading(profile: Profile) -> str:
    device = profile.environment.fact("device name") or profile.environment.device
    return f"{profile.model}, input {profile.input}, on {device}"


def whole_step_table(profile: Profile) -> Table:
    """Each phase's time with its interval, and samples per second."""
    rows = tuple(
        Row(_measured(profile, phase, measurement), "total" if phase == "step" else "row")
        for phase, measurement in profile.phases.items()
    )
    warnings = [
        f"{phase}: {warning}."
        for phase, measurement in profile.phases.items()
        for warning in measurement.warnings
    ]
    clocks = [
        f"{text}." for end, text in CLOCKS.items() if any(p.endswith(end) for p in profile.phases)
    ]
    convention = "±: half of the median's 95 % interval. Latency: the device is waited for."
    notes = (convention, *clocks, *warnings, *profile.notes)
    return Table(f"Whole step: {_heading(profile)}", WHOLE_STEP, rows, notes)


def _measured(profile: Profile, phase: str, measurement: Measurement) -> tuple[Cell, ...]:
    low, high = measurement.quartiles
    return (
        phase,
        measurement.median,
        measurement.known_half_width,
        profile.throughput(phase),
        low,
        high,
        measurement.minimum,
        len(measurement.seconds),
        measurement.warmup,
        measurement.first_seconds,
        outliers(measurement.seconds),
        drift(measurement.seconds),
    )


@dataclass
class StageTime:
    """Rows of one part of the network together.

    Args:
        seconds: by phase.
        macs: forward and backward multiply-accumulates, `None` for a row that is no layer.
        in_network: False for the loss, the optimiser, and idle time.
    """

    name: str
    seconds: Counter[str] = field(default_factory=Counter)
    macs: int | None = None
    launches: int = 0
    in_network: bool = True

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


def stage_times(profile: Profile) -> list[StageTime]:
    """The rows gathered by stage, in execution order; rows outside the network stand last.

    Stages are the network's direct children; one that takes most of the time is split up.
    """
    counted = {} if profile.analysis is None else work_by_call(profile.analysis)
    inside = [row for row in profile.layers if in_network(row)]
    names = _stage_names(inside)
    stages: dict[str, StageTime] = {}
    for row in profile.layers:
        within = in_network(row)
        name = names[row.name] if within else row.name
        stage = stages.setdefault(name, StageTime(name, in_network=within))
        stage.seconds.update(row.seconds)
        stage.launches += row.launches
        layer = counted.get((row.name, row.call)) if within else None
        if layer is not None:
            stage.macs = (stage.macs or 0) + layer.macs + (layer.macs_backward or 0)
    return sorted(stages.values(), key=lambda stage: not stage.in_network)


def in_network(row: LayerTime) -> bool:
    """Whether a row is a module of the network (or a graph compiled of its modules)."""
    return not row.name.startswith("[")


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
                row.name: name or "[network's own ops]"
                for name, members in groups.items()
                for row in members
            }
        for row in dominant[1]:
            depth[row.name] += 1


def _phase_columns(profile: Profile) -> list[str]:
    found = {phase for row in profile.layers for phase in row.seconds}
    return [phase for phase in PHASES if phase in found]


def _time_columns(first: Column, phases: Sequence[str]) -> tuple[Column, ...]:
    return (
        first,
        *(
            Column(f"{phase}_seconds", phase.capitalize(), "seconds", int(phase == "accumulation"))
            for phase in phases
        ),
        Column("total_seconds", "Total", "seconds"),
        Column("time_share", "Time", "percent"),
    )


def stage_table(profile: Profile) -> Table:
    """Time and MACs by stage; the rows add up to the step."""
    phases = _phase_columns(profile)
    stages = stage_times(profile)
    whole = sum(stage.total_seconds for stage in stages)
    macs = sum(stage.macs or 0 for stage in stages)
    rows = [
        Row(
            (
                stage.name,
                *(stage.seconds.get(phase) for phase in phases),
                stage.total_seconds,
                stage.total_seconds / whole,
                None if stage.macs is None or not macs else stage.macs / macs,
                stage.launches or None,
            )
        )
        for stage in stages
    ]
    sums = [sum(stage.seconds.get(phase, 0.0) for stage in stages) for phase in phases]
    launches = sum(stage.launches for stage in stages)
    rows.append(Row(("step", *sums, whole, 1.0, 1.0 if macs else None, launches), kind="total"))
    columns = (
        *_time_columns(Column("stage", "Stage", "name"), phases),
        Column("mac_share", "MACs", "percent", 1),
        Column("launches", "Launches", "exact", 3),
    )
    return Table(f"Stages of {profile.model}", columns, tuple(rows), _layer_notes(profile))


def layer_table(profile: Profile, most: int | None) -> Table:
    """Time of every layer in execution order, or of the slowest with the rest in one row."""
    phases = _phase_columns(profile)
    whole = sum(row.total_seconds for row in profile.layers)
    slowest = sorted(profile.layers, key=lambda row: -row.total_seconds)
    chosen = slowest if most is None else slowest[:most]
    kept = [row for row in profile.layers if any(row is one for one in chosen)]
    containers = _containers(profile)
    rows = [
        Row(
            (
                _label(row, containers),
                row.kind,
                row.call,
                *(row.seconds.get(phase) for phase in phases),
                row.total_seconds,
                row.total_seconds / whole,
                row.launches or None,
            )
        )
        for row in kept
    ]
    rest = [row for row in profile.layers if not any(row is one for one in chosen)]
    if rest:
        rows.append(Row(_summed(f"{len(rest)} other rows", rest, phases, whole), kind="note"))
    rows.append(Row(_summed("step", profile.layers, phases, whole), kind="total"))
    name, *times = _time_columns(Column("name", "Layer", "name"), phases)
    columns = (
        name,
        Column("kind", "Kind", "text", 2),
        Column("call", "Call", "exact", 5),
        *times,
        Column("launches", "Launches", "exact", 3),
    )
    title = f"Layers of {profile.model}" if most is None else f"Slowest layers of {profile.model}"
    return Table(title, columns, tuple(rows), _layer_notes(profile))


def _summed(
    label: str, rows: Sequence[LayerTime], phases: Sequence[str], whole: float
) -> tuple[Cell, ...]:
    total = sum(row.total_seconds for row in rows)
    sums = (sum(row.seconds.get(phase, 0.0) for row in rows) for phase in phases)
    launches = sum(row.launches for row in rows)
    return label, None, None, *sums, total, total / whole, launches


def _containers(profile: Profile) -> frozenset[str]:
    """Names that have rows below them."""
    parts = [row.name.split(".") for row in profile.layers if in_network(row)]
    above = {".".join(part[:end]) for part in parts for end in range(1, len(part))}
    return frozenset({*above, ""})


def _label(row: LayerTime, containers: frozenset[str]) -> str:
    return f"{row.name} {OWN_WORK}".strip() if row.name in containers else row.name


def _layer_notes(profile: Profile) -> tuple[str, ...]:
    shares = ", ".join(f"{phase} {100 * s:.1f} %" for phase, s in profile.attributed.items())
    found = f"Time that found its layer: {shares}." if shares else ""
    basis = (
        "Busy time of operators, with the profiler's own cost: shares are surer than seconds."
        if profile.environment.device.startswith("cpu")
        else "Busy time of kernels; the last row leads to the latency measured without profiler."
    )
    return (basis, found) if found else (basis,)


def memory_table(profile: Profile) -> Table:
    """What stays allocated, and the peak of each phase."""
    columns = (Column("kind", "Memory", "name"), Column("bytes", "Bytes", "bytes"))
    rows = tuple(Row((kind, size)) for kind, size in profile.peak_bytes.items())
    notes = ("allocated: by tensors at the phase's peak; reserved: by the allocator (CUDA).",)
    return Table(f"Memory of {profile.model}, batch {profile.input.batch}", columns, rows, notes)


def environment_table(profile: Profile) -> Table:
    """What decides the numbers besides the network."""
    columns = (Column("fact", "Setting", "name"), Column("value", "Value", "text"))
    rows = tuple(Row(fact) for fact in profile.environment.facts)
    return Table("Measured with", columns, rows)


def stage_chart(profile: Profile) -> Chart:
    """Stacked bars: forward, backward and other time of each stage."""
    stages = [stage for stage in stage_times(profile) if stage.total_seconds > 0]
    phases = _phase_columns(profile)
    series = [
        Series(
            phase,
            tuple(stage.name for stage in stages),
            tuple(max(0.0, stage.seconds.get(phase, 0.0)) for stage in stages),
        )
        for phase in phases
    ]
    rest = tuple(
        stage.total_seconds - sum(stage.seconds.get(phase, 0.0) for phase in phases)
        for stage in stages
    )
    if max(rest, default=0.0) > 0.001 * sum(stage.total_seconds for stage in stages):
        series.append(Series("other", tuple(stage.name for stage in stages), rest))
    title = f"Time by stage: {_heading(profile)}"
    return Chart(title, "stacked", Axis("stage", "text"), Axis("time", "seconds"), tuple(series))


def share_chart(profile: Profile) -> Chart | None:
    """Bars: each stage's share of the time beside its share of the MACs."""
    stages = [stage for stage in stage_times(profile) if stage.macs]
    macs = sum(stage.macs or 0 for stage in stages)
    whole = sum(row.total_seconds for row in profile.layers)
    if not macs:
        return None
    names = tuple(stage.name for stage in stages)
    series = (
        Series("share of time", names, tuple(stage.total_seconds / whole for stage in stages)),
        Series("share of MACs", names, tuple((stage.macs or 0) / macs for stage in stages)),
    )
    title = f"Time and MACs by stage: {_heading(profile)}"
    return Chart(title, "bars", Axis("stage", "text"), Axis("share", "percent"), series)


def throughput_chart(profiles: Sequence[Profile]) -> Chart:
    """Samples per second against the batch, for training and inference."""
    series = []
    for phase, title in (("step", "training"), ("inference", "inference")):
        chosen = [profile for profile in profiles if phase in profile.phases]
        if chosen:
            batches = tuple(float(profile.input.batch) for profile in chosen)
            series.append(
                Series(title, batches, tuple(profile.throughput(phase) for profile in chosen))
            )
    return Chart(
        f"Throughput of {profiles[-1].model}",
        "line",
        Axis("batch", "exact", log=True),
        Axis("samples per second", "decimal"),
        tuple(series),
    )
