"""Profile → tables and charts: the whole step, its stages and layers, memory, and why."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.profile.doubts import merged_warnings
from archscope.measure.series import drift, outliers
from archscope.records import BatchSweep, Measurement, Profile
from archscope.study.profile.headings import ERRORS, heading, interval, speed, subject, throughput
from archscope.study.profile.layers import layer_table
from archscope.study.profile.phases import profiled_seconds
from archscope.study.profile.roofline import roofline_chart, roofline_table
from archscope.study.profile.stages import (
    share_chart,
    stage_chart,
    stage_table,
    stage_times,
    tells_more,
)
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.units import percent
from archscope.wording import network_title

MOST_LAYERS = 20
"""Rows of the layer table, unless every layer is asked for."""

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


TIMED = (
    "±: half of the median's 95 % interval. Latency includes synchronising with the device. "
    "Each phase is timed by itself, so medians need not add up to that of the step. "
    "First call: with compilation and algorithm search. "
    "Warm-up: repetitions dropped before those of Runs."
)

TRACED = (
    "±: half of the median's 95 % interval. Runs are steps of a trace, as the device runs them: "
    "forward from the network's first kernel, backward to the end of its last, waiting included."
)

DISTURBED = 0.25
"""Half width of an interval from which other programs must be suspected."""

QUIETER = (
    "Large variation on several threads: other processes disturb; try one thread or an idle "
    "machine."
)


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
        most = None if every_layer else MOST_LAYERS
        if tells_more(last, most):
            tables.append(stage_table(last))
        tables.append(layer_table(last, most))
        roofline = roofline_table(last)
        tables += [roofline] if roofline is not None else []
        charts += [roofline_chart(last), stage_chart(last), share_chart(last)]
    if last.peak_bytes:
        tables.append(memory_table(last))
    if len(profiles) > 1:
        charts.append(throughput_chart(profiles))
        tables.append(throughput_table(profiles))
    tables.append(environment_table(last))
    return Report(
        title=f"Profile of {_name(last)}",
        tables=tuple(tables),
        charts=tuple(chart for chart in charts if chart is not None),
        record=profiles[0] if len(profiles) == 1 else BatchSweep(tuple(profiles)),
        data=_data(profiles),
        answer=_answer(last),
    )


def _name(profile: Profile) -> str:
    """The network with its settings."""
    return network_title(profile.model, profile.keywords)


def _answer(profile: Profile) -> str:
    """Samples a second, the share of the backward pass, and the slowest module."""
    found, phases = [], profile.phases
    for phase, title in THROUGHPUT.items():
        if phase in phases:
            half = phases[phase].known_half_width
            spread = f" ({phases[phase].no_interval})" if half is None else f" ± {percent(half)}"
            found.append(f"{title.lower()} {speed(profile, phase)}{spread}")
    if not found:
        return ""
    if "step" in phases and "backward" in phases:
        share = phases["backward"].median / phases["step"].median
        found.append(f"backward is {percent(share, digits=0)} of the step")
    inside = [stage for stage in stage_times(profile) if stage.in_network]
    if len(inside) > 1:
        slowest = max(inside, key=lambda stage: stage.total_seconds)
        share = slowest.total_seconds / profiled_seconds(profile)
        found.append(f"slowest: {slowest.name} ({percent(share)} of the profiled step)")
    return f"{subject(profile)}: {'; '.join(found)}."


def _data(profiles: Sequence[Profile]) -> Table | None:
    """Plain rows: the layers of one profile, the phases of several."""
    if len(profiles) == 1:
        return layer_table(profiles[0], None) if profiles[0].layers else None
    rows = [
        Row((profile.input.batch, *_measured(profile, phase, measurement)))
        for profile in profiles
        for phase, measurement in profile.phases.items()
    ]
    columns = (Column("batch", "Batch", "exact"), *WHOLE_STEP)
    return Table(f"Phases of {_name(profiles[0])} by batch", columns, tuple(rows))


def whole_step_table(profile: Profile) -> Table:
    """Each phase's time with its interval, and samples per second."""
    rows = tuple(
        Row(_measured(profile, phase, measurement), "total" if phase == "step" else "row")
        for phase, measurement in profile.phases.items()
    )
    clocks = [
        f"{text}." for end, text in CLOCKS.items() if any(p.endswith(end) for p in profile.phases)
    ]
    convention = TRACED if profile.environment.fact("trace") else TIMED
    hint = (QUIETER,) if _disturbed(profile) else ()
    notes = (convention, *clocks, *merged_warnings(profile.phases), *hint, *profile.notes)
    return Table(f"Whole step: {heading(profile)}", WHOLE_STEP, rows, notes)


def _disturbed(profile: Profile) -> bool:
    """Whether a host's threads seem to have waited for those of other programs."""
    widths = (measurement.known_half_width or 0.0 for measurement in profile.phases.values())
    several = profile.environment.fact("threads") not in (None, "1")
    return profile.environment.device == "cpu" and several and max(widths, default=0.0) > DISTURBED


def _measured(profile: Profile, phase: str, measurement: Measurement) -> tuple[Cell, ...]:
    low, high = measurement.quartiles
    return (
        phase,
        measurement.median,
        measurement.known_half_width,
        throughput(profile, phase),
        low,
        high,
        measurement.minimum,
        len(measurement.seconds),
        measurement.warmup,
        measurement.first_seconds,
        outliers(measurement.seconds),
        drift(measurement.seconds),
    )


def memory_table(profile: Profile) -> Table:
    """What stays allocated, and the peak of each phase, beside what was predicted."""
    columns = [Column("kind", "Memory", "name"), Column("bytes", "Bytes", "bytes")]
    reserved = any(kind.endswith(" reserved") for kind in profile.peak_bytes)
    note = "allocated: by tensors at the phase's peak"
    notes = [f"{note}; reserved: by the allocator." if reserved else f"{note}."]
    predicted = profile.predicted_bytes
    if predicted:
        columns.append(Column("predicted_bytes", "Predicted", "bytes"))
        notes.append(predicted_note(profile.environment.device))
    rows = tuple(
        Row((kind, size, predicted.get(kind))[: len(columns)])
        for kind, size in profile.peak_bytes.items()
    )
    title = f"Memory of {_name(profile)}, batch {profile.input.batch}"
    return Table(title, tuple(columns), rows, tuple(notes))


def predicted_note(device: str) -> str:
    """What stands beside the measured bytes: the device that was predicted is the measured one."""
    where = "a CPU" if device == "cpu" else "a GPU"
    return (
        f"Predicted: tensor by tensor on {where}, as archscope memory does, without what libraries "
        "take."
    )


def environment_table(profile: Profile) -> Table:
    """What decides the numbers besides the network."""
    columns = (Column("fact", "Setting", "name"), Column("value", "Value", "text"))
    rows = tuple(Row(fact) for fact in profile.environment.facts)
    return Table("Measured with", columns, rows)


THROUGHPUT = {"step": "Training", "inference": "Inference"}


def throughput_table(profiles: Sequence[Profile]) -> Table:
    """Samples per second by batch, for training and inference."""
    phases = [phase for phase in THROUGHPUT if any(phase in p.phases for p in profiles)]
    columns = [Column("batch", "Batch", "exact")]
    columns += [
        Column(f"{phase}_samples_per_second", f"{THROUGHPUT[phase]} samples/s", "decimal")
        for phase in phases
    ]
    rows = tuple(
        Row((p.input.batch, *(p.throughput(ph) if ph in p.phases else None for ph in phases)))
        for p in profiles
    )
    return Table(f"Throughput of {_name(profiles[0])}", tuple(columns), rows)


def throughput_chart(profiles: Sequence[Profile]) -> Chart:
    """Samples per second against the batch, for training and inference."""
    series = []
    for phase, title in THROUGHPUT.items():
        chosen = [profile for profile in profiles if phase in profile.phases]
        if chosen:
            batches = tuple(float(profile.input.batch) for profile in chosen)
            series.append(
                Series(
                    title.lower(),
                    batches,
                    tuple(profile.throughput(phase) for profile in chosen),
                    errors=tuple(_throughput_interval(profile, phase) for profile in chosen),
                )
            )
    facts = profiles[-1].environment
    device = facts.fact("device name") or facts.device
    return Chart(
        f"Throughput of {_name(profiles[-1])} on {device}",
        "line",
        Axis("batch", "exact", log=True),
        Axis("samples per second", "count"),
        tuple(series),
        notes=(ERRORS,),
        name="throughput",
    )


def _throughput_interval(profile: Profile, phase: str) -> tuple[float, float] | None:
    """That of the samples a second, from that of the median's seconds."""
    seconds = interval(profile.phases[phase])
    if seconds is None:
        return None
    samples = profile.throughput(phase) * profile.phases[phase].median
    return samples / seconds[1], samples / seconds[0]
