"""One network on one device: every phase timed, layers, memory and roofs → Profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import nn

from archscope.errors import ArchscopeError, first_line
from archscope.measure import device as devices
from archscope.measure.clock import Stage, StreamClock, WallClock, cold_cache, nothing, synchronizer
from archscope.measure.layers import LayerTimes, profile_layers
from archscope.measure.memory import is_out_of_memory, peak_bytes
from archscope.measure.sampling import Clock, StoppingRule, Timing, measure
from archscope.measure.serialised import serialised_layers
from archscope.measure.step import (
    InferenceStep,
    Settings,
    Step,
    TrainingStep,
    captured,
    configured,
)
from archscope.records import Environment, InputSpec, Measurement, Profile

Mode = Literal["training", "inference"]

Progress = Callable[[str, float], None]
"""Told what is being measured and which share of its time limit is spent."""


class OutOfMemoryError(ArchscopeError):
    """A step of this batch does not fit on the device."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long to try.

    Args:
        modes: what to time, in this order.
        details: also layers, memory and the device's roofs, of the first mode.
        steps: how many steps to profile for the layers.
    """

    settings: Settings = field(default_factory=Settings)
    rule: StoppingRule = field(default_factory=StoppingRule)
    modes: tuple[Mode, ...] = ("training", "inference")
    details: bool = True
    steps: int = 5


@dataclass
class _Found:
    """What is known so far, so that an interruption keeps it."""

    phases: dict[str, Measurement] = field(default_factory=dict)
    layers: LayerTimes | None = None
    peak_bytes: dict[str, int] = field(default_factory=dict)
    peaks: devices.Peaks | None = None
    notes: list[str] = field(default_factory=list)


def silent(label: str, share: float) -> None:
    """Progress that nobody watches."""


def run(
    model: str,
    module: nn.Module,
    input: InputSpec,
    plan: Plan,
    progress: Progress = silent,
    keywords: tuple[tuple[str, str], ...] = (),
) -> Profile:
    """Measure a copy of a network; the network, RNG and global flags stay as they are.

    An interruption (Ctrl-C) keeps the phases measured so far and says so in the notes.

    Args:
        model: the name to report.
        module: on any device, with weights.
        input: numbers in every dimension.
        plan: what to measure, and how long to try.
        progress: told what is being measured.
        keywords: constructor keywords to report.

    Raises:
        ArchscopeError: no such device, or the network fails; naming the phase.
        OutOfMemoryError: a step does not fit.
    """
    device = devices.find(plan.settings.device)
    found = _Found()
    with configured(plan.settings, device):
        before = devices.state(device)
        try:
            for mode in plan.modes:
                _measure_mode(mode, module, input, plan, device, found, progress)
        except KeyboardInterrupt:
            found.notes.append("Interrupted: what is missing was not measured.")
        facts = _facts(device, plan, before, found.peaks)
    table = found.layers
    return Profile(
        model=model,
        input=input,
        environment=Environment(str(device), facts),
        phases=found.phases,
        layers=() if table is None else table.rows,
        attributed={} if table is None else table.attributed,
        peak_bytes=found.peak_bytes,
        peaks={} if found.peaks is None else found.peaks.rates,
        keywords=keywords,
        notes=(*found.notes, *(() if table is None else table.notes)),
    )


def interrupted(profile: Profile) -> bool:
    """Whether Ctrl-C ended this measurement early."""
    return any(note.startswith("Interrupted") for note in profile.notes)


def _facts(
    device: torch.device, plan: Plan, before: dict[str, str], peaks: devices.Peaks | None
) -> tuple[tuple[str, str], ...]:
    settings = plan.settings
    chosen = {
        "modes": ", ".join(plan.modes),
        "dtype": settings.dtype,
        "optimizer": settings.optimizer if "training" in plan.modes else "",
        "autocast": "on" if settings.amp else "",
        "memory format": "channels last" if settings.channels_last else "",
        "torch.compile": settings.compile or "",
        "second-level cache": "overwritten before every repetition" if settings.cold_l2 else "",
        "precision": f"{100 * plan.rule.precision:g} %",
        "roofs": "" if peaks is None else peaks.source,
    }
    moment = {f"{key} before": value for key, value in before.items()}
    moment |= {f"{key} after": value for key, value in devices.state(device).items()}
    environment = devices.environment(device)
    return (
        *environment.facts,
        *((key, value) for key, value in chosen.items() if value),
        *moment.items(),
    )


def _measure_mode(
    mode: Mode,
    module: nn.Module,
    input: InputSpec,
    plan: Plan,
    device: torch.device,
    found: _Found,
    progress: Progress,
) -> None:
    kind = TrainingStep if mode == "training" else InferenceStep
    with _failures(mode, input, device):
        step: Step = kind(module, input, plan.settings, device)
        firsts = _first_run(step, input)
        _time(step, plan, found, progress)
        firsts["step" if mode == "training" else mode] = sum(firsts.values())
        for phase, seconds in firsts.items():
            found.phases[phase] = replace(found.phases[phase], first_seconds=seconds)
        if isinstance(step, TrainingStep):
            found.notes.append(f"Loss: {step.loss.rule}.")
        if mode == plan.modes[0] and plan.details:
            _detail(step, plan, found, progress)


def _first_run(step: Step, input: InputSpec) -> dict[str, float]:
    """Seconds of each stage's very first run, with its compilation and algorithm search."""
    seconds = {}
    for phase, stage in step.stages.items():
        with _failures(phase, input, step.device):
            clock = WallClock([stage], synchronizer(step.device))
            seconds[phase] = clock.laps(1)[0][0]
    return seconds


@contextmanager
def _failures(phase: str, input: InputSpec, device: torch.device) -> Iterator[None]:
    """Tell in one line what failed and where."""
    try:
        yield
    except ArchscopeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            if device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemoryError(
                f"batch {input.batch}",
                f"runs out of memory on {device} in {phase}",
                "use a smaller --batch or ask --max-batch",
            ) from error
        problem = f"fails in {phase} ({type(error).__name__}: {first_line(error)})"
        remedy = "" if phase == "inference" else "check --input, or measure inference with --eval"
        raise ArchscopeError("network", problem, remedy) from error


def _time(step: Step, plan: Plan, found: _Found, progress: Progress) -> None:
    """Time the stages, and where a device runs beside the host also the step as a whole."""
    device, synchronize = step.device, synchronizer(step.device)
    before = cold_cache(device) if plan.settings.cold_l2 else nothing
    names, stages = list(step.stages), list(step.stages.values())
    whole = "step" if isinstance(step, TrainingStep) else names[0]

    def timed(label: str, clock: Clock) -> Timing:
        return measure(clock, plan.rule, lambda share: progress(label, share))

    timing = timed("+".join(names), WallClock(stages, synchronize, before))
    found.phases |= dict(zip(names, timing.stages, strict=True))
    if device.type == "cpu" or len(stages) == 1:
        found.phases[whole] = timing.total
    else:
        found.phases[whole] = timed(whole, WallClock([step], synchronize, before)).total
    if device.type != "cuda":
        return
    timing = timed("stream", StreamClock(stages, device, before))
    found.phases |= {
        f"{name} stream": stage for name, stage in zip(names, timing.stages, strict=True)
    }
    found.phases[f"{whole} stream"] = timing.total
    if plan.settings.cuda_graph:
        replay = _graph(step, found)
        if replay is not None:
            clock = StreamClock([replay], device, before)
            found.phases[f"{whole} graph"] = timed("graph", clock).total


def _graph(step: Step, found: _Found) -> Stage | None:
    try:
        return captured(step)
    except RuntimeError as error:
        found.notes.append(f"No CUDA graph: capture fails ({first_line(error)}).")
        return None


def _detail(step: Step, plan: Plan, found: _Found, progress: Progress) -> None:
    whole = "step" if isinstance(step, TrainingStep) else "inference"
    progress("layers", 0.0)
    if step.device.type == "mps":
        found.layers = serialised_layers(step, plan.steps)
    else:
        found.layers = profile_layers(step, found.phases[whole].median, plan.steps)
    if plan.settings.compile is not None:
        found.notes.append("Compiled: one row per graph, as modules are no longer apart in it.")
    progress("memory", 0.0)
    found.peak_bytes = peak_bytes(step)
    progress("roofs of the device", 0.0)
    found.peaks = devices.peaks(step.device)
    progress("roofs of the device", 1.0)
