"""A Profile that a trace gave → tables and charts, the answer first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.ask.profile.roofline import idle_share
from archscope.parameters import parameter
from archscope.records import LayerTime, Profile
from archscope.study.profile import MOST_LAYERS, environment_table
from archscope.study.profile.headings import knows_batch
from archscope.study.profile.launches import launch_bound_note
from archscope.study.profile.layers import layer_table
from archscope.study.profile.roofline import roofline_chart, roofline_table
from archscope.study.profile.stages import (
    share_chart,
    stage_chart,
    stage_table,
    stage_times,
    tells_more,
)
from archscope.table import Report
from archscope.units import seconds

BACKWARD = ("backward", "accumulation", "recompute")


def trace_report(profile: Profile, *, every_layer: bool = False) -> Report:
    """Where the time of a traced step goes.

    Args:
        profile: made from a trace.
        every_layer: list every layer instead of the slowest.
    """
    most = None if every_layer else MOST_LAYERS
    stages = stage_table(profile)
    tables = [stages] if tells_more(profile, most) else []
    tables.append(replace(layer_table(profile, most), notes=()))
    tables[0] = replace(tables[0], notes=_notes(profile, stages.notes))
    roofline = roofline_table(profile)
    tables += [roofline] if roofline is not None else []
    tables.append(environment_table(profile))
    charts = [roofline_chart(profile), stage_chart(profile), share_chart(profile)]
    return Report(
        title=f"Trace of {profile.model}",
        tables=tuple(tables),
        charts=tuple(chart for chart in charts if chart is not None),
        record=profile,
        data=layer_table(profile, None),
        answer=f"{answer(profile)}.",
    )


def answer(profile: Profile) -> str:
    """`177 ms a step on Tesla V100, 32 images: backward 64 %, layer3 is the slowest stage, …`."""
    phase = "step" if "step" in profile.phases else "inference"
    length = seconds(step_seconds(profile))
    device = profile.environment.fact("device name") or profile.environment.device
    parts = [*_backward_part(profile.layers), *_slowest_part(profile)]
    if profile.environment.device != "cpu":
        parts.append(f"{_percent(idle_share(profile))} of the step the GPU waits")
    what = "a step" if phase == "step" else "a forward pass"
    measured = f": {', '.join(parts)}" if parts else ""
    return f"{length} {what} on {device}{_samples(profile)}{measured}"


def step_seconds(profile: Profile) -> float:
    """What the rows add up to."""
    return sum(row.total_seconds for row in profile.layers)


def _samples(profile: Profile) -> str:
    tensors = profile.input.tensors
    if not knows_batch(profile):
        return ""
    word = "images" if len(tensors) == 1 and len(tensors[0].shape) == 4 else "samples"
    times = f"{profile.passes} × " if profile.passes > 1 else ""
    return f", {times}{profile.input.batch} {word}"


def _backward_part(rows: Sequence[LayerTime]) -> list[str]:
    busy = sum(
        seconds for row in rows for phase, seconds in row.seconds.items() if phase not in NOT_BUSY
    )
    backward = sum(row.seconds.get(phase, 0.0) for row in rows for phase in BACKWARD)
    return [f"backward {_percent(backward / busy)}"] if busy and backward else []


NOT_BUSY = ("idle", "overlap")


def _slowest_part(profile: Profile) -> list[str]:
    stages = [stage for stage in stage_times(profile) if stage.in_network]
    if len(stages) < 2:
        return []
    slowest = max(stages, key=lambda stage: stage.total_seconds)
    return [f"{slowest.name} is the slowest stage"]


def attributed(profile: Profile) -> str:
    """`Attributed: forward 99.1 %, backward 98.7 % …`."""
    shares = ", ".join(
        f"{phase} {_percent(share)}"
        for phase, share in profile.attributed.items()
        if phase in ("forward", "backward")
    )
    if not any(row.in_network for row in profile.layers):
        return f"Attributed: nothing, as the file names no modules; add {parameter('model')}."
    time = "time" if profile.environment.device == "cpu" else "GPU time"
    return (
        f"Attributed: {shares} of the {time} that is neither optimiser, loss, communication, "
        f"copies nor graph replay."
    )


def _percent(share: float) -> str:
    """One decimal, rounded down where it would claim all."""
    percent = 100 * share
    return "99.9 %" if 99.95 <= percent < 100 else f"{percent:.1f} %".replace(".0 %", " %")


def _notes(profile: Profile, basis: tuple[str, ...]) -> tuple[str, ...]:
    return (attributed(profile), *launch_bound_note(profile), *basis, *profile.notes)
