"""One network on one device: every phase timed, layers, memory and roofs → Profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from archscope.errors import first_line
from archscope.measure import device as devices
from archscope.measure.clock import Stage, StreamClock, WallClock, cold_cache, nothing, synchronizer
from archscope.measure.failure import failures
from archscope.measure.graph import captured
from archscope.measure.layers import profile_layers
from archscope.measure.memory import peak_bytes, release
from archscope.measure.roofs import roofs
from archscope.measure.sampling import (
    Clock,
    Interrupted,
    OneByOne,
    StoppingRule,
    Timing,
    measure,
)
from archscope.measure.serialised import serialised_layers
from archscope.measure.step import (
    STEPS,
    Mode,
    Settings,
    Step,
    TrainingStep,
    autocast_dtype,
    configured,
)
from archscope.records import Environment, InputSpec, LayerTime, Measurement, Profile
from archscope.records.measured import INTERRUPTED, PROFILER_OVERHEAD
from archscope.saved import cache
from archscope.traces.rows import LayerTimes

Progress = Callable[[str, float], None]
"""Called with what is being measured and which share of its time limit is spent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long to try.

    Args:
        modes: what to time, in this order.
        details: also layers, memory and the device's roofs, of the first mode.
        steps: how many steps to profile for the layers; `None` for as many as fill a fifth of a
            second, 5 to 40.
        roofs: where the device's roofs are saved; `None` measures them again.
        chosen: whether the user chose the device, or it is the fastest there.
    """

    settings: Settings = field(default_factory=Settings)
    rule: StoppingRule = field(default_factory=StoppingRule)
    modes: tuple[Mode, ...] = ("training", "inference")
    details: bool = True
    steps: int | None = None
    roofs: cache.Store | None = None
    chosen: bool = True


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

    An interruption (Ctrl-C) keeps the phases measured so far, and of the phase at hand the samples
    taken, and says so in the notes and the phase's warnings.

    Args:
        model: the name to report.
        module: on any device, with weights.
        input: numbers in every dimension.
        plan: what to measure, and how long to try.
        progress: called with what is being measured.
        keywords: constructor keywords to report.

    Raises:
        ArchscopeError: no such device, or the network fails; naming the phase.
        OutOfMemoryError: a step does not fit.
    """
    session = Session(model, plan, progress)
    with configured(plan.settings, session.device):
        before = devices.state(session.device)
        try:
            for mode in plan.modes:
                session.measure_mode(mode, module, input)
        except KeyboardInterrupt:
            session.notes.append(INTERRUPTED)
        return session.profile(input, before, keywords)


@dataclass(frozen=True, slots=True)
class TimedPhases:
    """What one clock measures.

    Args:
        label: for progress.
        clock: of the stages.
        parts: the phase that each stage is.
        total: the phase that all of them are together, `None` where another clock measures it.
    """

    label: str
    clock: Clock
    parts: tuple[str, ...]
    total: str | None


class Session:
    """One network being measured; what is known so far is there after an interruption too.

    Args:
        model: the name to report.
        plan: what to measure, and how long to try.
        progress: called with what is being measured.

    Raises:
        ArchscopeError: no such device.
    """

    def __init__(self, model: str, plan: Plan, progress: Progress) -> None:
        self.model = model
        self.plan = plan
        self.progress = progress
        self.device = devices.find(plan.settings.device)
        self.dtypes: dict[str, str] = {}
        self.firsts: dict[str, float] = {}
        self.phases: dict[str, Measurement] = {}
        self.layers: LayerTimes | None = None
        self.peak_bytes: dict[str, int] = {}
        self.peaks: devices.Peaks | None = None
        self.notes: list[str] = []

    def profile(
        self, input: InputSpec, before: Mapping[str, str], keywords: tuple[tuple[str, str], ...]
    ) -> Profile:
        """The record of what is known; `before` is the device's state when the session began."""
        table = self.layers
        return Profile(
            model=self.model,
            input=input,
            environment=Environment(str(self.device), self.facts(before)),
            phases=self.phases,
            layers=() if table is None else table.rows,
            attributed={} if table is None else table.attributed,
            peak_bytes=self.peak_bytes,
            peaks={} if self.peaks is None else self.peaks.rates,
            keywords=keywords,
            notes=(*self.notes, *(() if table is None else table.notes)),
        )

    def facts(self, before: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """What was measured on what; `before` is the device's state when the session began."""
        plan, settings = self.plan, self.plan.settings
        cast = autocast_dtype(settings)
        chosen = {
            "modes": ", ".join(plan.modes),
            "dtype": settings.dtype,
            **self.dtypes,
            "optimizer": settings.optimizer if "training" in plan.modes else "",
            "autocast": "" if cast is None else str(cast).removeprefix("torch."),
            "memory format": "channels last" if settings.channels_last else "",
            "torch.compile": settings.compile or "",
            "second-level cache": "overwritten before every repetition" if settings.cold_l2 else "",
            "precision": f"{100 * plan.rule.precision:g} %",
            "roofs": "" if self.peaks is None else str(self.peaks),
        }
        moment = {f"{key} before": value for key, value in before.items()}
        moment |= {f"{key} after": value for key, value in devices.state(self.device).items()}
        environment = devices.environment(self.device)
        return (
            *environment.facts,
            *((key, value) for key, value in chosen.items() if value),
            *moment.items(),
        )

    def measure_mode(self, mode: Mode, module: nn.Module, input: InputSpec) -> None:
        """Time training or inference, and for the first of a plan find layers, memory and roofs."""
        with failures(self.model, mode, input, self.device):
            step = self.begin(mode, module, input)
            rule = within_time(step, self.plan)
            try:
                for timed in self.clocks(step):
                    self._timed(rule, timed)
            finally:
                self.add_first_runs()
            self.finish(mode, step)

    def begin(self, mode: Mode, module: nn.Module, input: InputSpec) -> Step:
        """A step that has run once."""
        if self.device.type == "cuda":
            release(self.device)
        step = STEPS[mode](module, input, self.plan.settings, self.device)
        self.dtypes = _dtypes(step)
        self.firsts = _first_run(step, self.model, input)
        self.firsts[step.whole] = sum(self.firsts.values())
        return step

    def add_first_runs(self) -> None:
        """Say of the phases measured so far how long their very first run took."""
        for phase in self.firsts.keys() & self.phases.keys():
            first = self.firsts[phase]
            self.phases[phase] = replace(self.phases[phase], first_seconds=first)

    def finish(self, mode: Mode, step: Step) -> None:
        """What is found of a step once it is timed."""
        if isinstance(step, TrainingStep):
            self.notes.append(f"Loss: {step.loss.rule}.")
        if mode == self.plan.modes[0] and self.plan.details:
            self._detail(step)
        if self.device.type == "cuda" and self.plan.settings.cuda_graph:
            self._time_graph(step)

    def clocks(self, step: Step) -> Iterator[TimedPhases]:
        """Of the stages, and where a device runs beside the host also of the step as a whole."""
        device, synchronize = step.device, synchronizer(step.device)
        before = _between(step, self.plan)
        names, stages = list(step.stages), list(step.stages.values())
        alone = device.type == "cpu" or len(stages) == 1
        wall = OneByOne(WallClock(stages, synchronize, before))
        yield TimedPhases("+".join(names), wall, tuple(names), step.whole if alone else None)
        if not alone:
            whole = OneByOne(WallClock([step], synchronize, before))
            yield TimedPhases(step.whole, whole, (), step.whole)
        if device.type == "cuda":
            streams = tuple(f"{name} stream" for name in names)
            clock = StreamClock(stages, device, before)
            yield TimedPhases("stream", clock, streams, f"{step.whole} stream")

    def save(self, timed: TimedPhases, timing: Timing) -> None:
        """Save the phases that a clock measured: its stages by name, and their total."""
        self.phases |= dict(zip(timed.parts, timing.stages, strict=False))
        if timed.total is not None:
            self.phases[timed.total] = timing.total

    def _timed(self, rule: StoppingRule, timed: TimedPhases) -> None:
        try:
            timing = measure(timed.clock, rule, lambda share: self.progress(timed.label, share))
        except Interrupted as interruption:
            self.save(timed, interruption.timing)
            raise
        self.save(timed, timing)

    def _time_graph(self, step: Step) -> None:
        """Time the replay, last of all: a capture that fails can leave the allocator with less."""
        try:
            replay = captured(step)
        except RuntimeError as error:
            # Ending a capture that failed raises once more; the first error tells the reason.
            reason = first_line(error.__context__ or error)
            self.notes.append(f"No CUDA graph: capture fails ({reason}).")
            return
        clock = StreamClock([replay], step.device, _between(step, self.plan))
        timed = TimedPhases("graph", clock, (), f"{step.whole} graph")
        self._timed(self.plan.rule, timed)

    def _detail(self, step: Step) -> None:
        plan, progress = self.plan, self.progress
        latency = self.phases[step.whole].median
        steps = plan.steps or min(40, max(5, int(0.2 / latency)))
        progress("layers", 0.0)
        if step.device.type == "mps":
            table = serialised_layers(step, steps)
        else:
            table = profile_layers(step, latency, steps)
        if step.device.type != "cuda":
            stages = {name: self.phases[name].median for name in step.stages}
            table = closed(table, stages, latency)
        self.layers = table
        if plan.settings.compile is not None:
            self.notes.append(
                "Compiled: one row per graph, since its kernels no longer belong to single modules."
            )
        progress("memory", 0.0)
        self.peak_bytes = peak_bytes(step)
        progress("roofs of the device", 0.0)
        self.peaks = roofs(step.device, step.arithmetic, plan.roofs)
        progress("roofs of the device", 1.0)


def _dtypes(step: Step) -> dict[str, str]:
    facts = {"network dtype": step.dtype}
    if step.built_in not in (None, step.dtype):
        facts["converted from"] = str(step.built_in)
    return facts


def _first_run(step: Step, model: str, input: InputSpec) -> dict[str, float]:
    """Seconds of each stage's very first run, with its compilation and algorithm search."""
    seconds = {}
    for phase, stage in step.stages.items():
        with failures(model, phase, input, step.device):
            clock = WallClock([stage], synchronizer(step.device))
            seconds[phase] = clock.laps(1)[0][0]
    return seconds


def _between(step: Step, plan: Plan) -> Stage:
    """What is done before every repetition, untimed."""
    return cold_cache(step.device) if plan.settings.cold_l2 else nothing


def within_time(step: Step, plan: Plan) -> StoppingRule:
    """A plan's rule with the share of its seconds that emptying the cache leaves."""
    if not plan.settings.cold_l2:
        return plan.rule
    synchronize = synchronizer(step.device)
    (emptying,), (running,) = (
        min(WallClock([stage], synchronize).laps(3)) for stage in (_between(step, plan), step)
    )
    share = running / (running + emptying)
    return replace(
        plan.rule,
        min_seconds=share * plan.rule.min_seconds,
        max_seconds=share * plan.rule.max_seconds,
        min_warmup_seconds=share * plan.rule.min_warmup_seconds,
    )


def closed(table: LayerTimes, stages: Mapping[str, float], whole: float) -> LayerTimes:
    """Add the row that leads from the profiled step to the step as timed with nothing attached.

    A device's kernels take the same time under the profiler, but a host's step takes longer, by
    what the profiler (or waiting after every layer) costs.
    That cost is one row, below zero unless other programs slowed the unprofiled step, and no other
    row is touched: its columns are the differences of the stages, its total that of the step.

    Args:
        table: rows that add up to the profiled step.
        stages: seconds of each stage without profiler.
        whole: seconds of the step without profiler.
    """
    if not table.rows:
        return table
    seconds: dict[str, float] = {}
    for stage, median in stages.items():
        parts = PARTS.get(stage, (stage,))
        profiled = sum(row.seconds.get(part, 0.0) for row in table.rows for part in parts)
        seconds[parts[0]] = median - profiled
    seconds["other"] = whole - table.step_seconds - sum(seconds.values())
    kind = "step − profiled step"
    row = LayerTime(PROFILER_OVERHEAD, kind, seconds=seconds, in_network=False)
    return replace(table, rows=(*table.rows, row))


PARTS = {
    "inference": ("forward", "inference"),
    "backward": ("backward", "accumulation", "recompute"),
}
"""Columns of the layer table that identify a stage, where they are not its own name."""
