"""Where a step's time goes: one profiler session over a few steps → rows that add up to a step."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, record_function

from archscope.measure import events
from archscope.measure.clock import synchronizer
from archscope.measure.events import Call, Credit, Trace
from archscope.measure.step import Loss, Step
from archscope.records import LayerTime

# Rows that are no module of the network stand in brackets and have `in_network` False.
HOST_GAP = "[between operators]"
DEVICE_GAP = "[GPU idle / launch gap]"
GAPS = (HOST_GAP, DEVICE_GAP)
OVERLAP = "[overlapping kernels]"
UNKNOWN = "[no layer found]"
OPTIMIZER = "[optimizer]"

# Private but three times cheaper than record_function, which adds 50 µs to every module call.
_range = getattr(torch._C._profiler, "_RecordFunctionFast", record_function)


class CallRecorder:
    """Forward hooks that open a profiler range around every call of every module.

    Args:
        modules: by the name that their rows get.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.calls: list[Call] = []
        self.in_backward = False
        # A module registered under two names is one module: its first name stands.
        self._names: dict[nn.Module, str] = {}
        for name, module in modules.items():
            self._names.setdefault(module, name)
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._open: list[tuple[Call, Any]] = []
        self._handles: list[Any] = []

    def begin_step(self) -> None:
        self._counts.clear()

    def __enter__(self) -> CallRecorder:
        for module in self._names:
            self._handles += [
                # First in, last out, so that the user's own hooks lie inside the range.
                module.register_forward_pre_hook(self._enter, prepend=True),
                module.register_forward_hook(self._exit, always_call=True),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, _: object) -> None:
        name = self._names[module]
        index = self._counts[name, self.in_backward]
        self._counts[name, self.in_backward] += 1
        call = Call(
            name, type(module).__name__, index, self.in_backward,
            in_network=not isinstance(module, Loss),
        )  # fmt: skip
        opened = _range(f"{events.CALL}{len(self.calls)}")
        self.calls.append(call)
        self._open.append((call, opened))
        opened.__enter__()
        call.first = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]

    def _exit(self, *_: object) -> None:
        # Called also when forward raises, so the call at hand is always the one opened last.
        call, opened = self._open.pop()
        call.last = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        opened.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """The table of one profiled step.

    Args:
        rows: in execution order, then the optimiser, what found no layer, and the gap.
        attributed: share of the busy time that found its layer, by phase.
        notes: what a reader must know (steps discarded, overlapping kernels).
    """

    rows: tuple[LayerTime, ...] = ()
    attributed: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def step_seconds(self) -> float:
        """What the rows add up to."""
        return sum(row.total_seconds for row in self.rows)

    @property
    def busy_seconds(self) -> float:
        """The device at work, overlapping kernels counted once."""
        return sum(row.total_seconds for row in self.rows if row.in_network or row.name not in GAPS)


def profile_layers(step: Step, latency: float | None = None, steps: int = 5) -> LayerTimes:
    """Profile a few steps and credit each operator or kernel to a module call.

    Args:
        step: warmed up.
        latency: seconds of a step without profiler, for the idle time of a device that runs
            beside the host; a host's own table adds up to the profiled step instead.
        steps: how many to profile, after one that is dropped.
    """
    recorder = CallRecorder(step.modules)
    trace = events.read(_session(step, recorder, steps))
    if step.device.type == "cuda" and not trace.device:
        note = "No layer times: the profiler recorded no kernels (is CUPTI permitted here?)."
        return LayerTimes(notes=(note,))
    return times(trace, recorder.calls, latency)


def _session(step: Step, recorder: CallRecorder, steps: int) -> list[Any]:
    """Raw events of one session; its first step is dropped, as CUPTI loses kernels at the start."""
    activities = [ProfilerActivity.CPU]
    if step.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    synchronize = synchronizer(step.device)
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=steps, repeat=1)
    # There is one cycle; without `acc_events` PyTorch 2.11 warns that only the last one is kept.
    profiler = torch.profiler.profile(activities=activities, schedule=schedule, acc_events=True)
    with recorder, profiler as session:
        for index in range(steps + 1):
            recorder.begin_step()
            with _opened(f"{events.STEP}{index}"):
                _run_stages(step, recorder)
            synchronize()
            session.step()
    results = session.profiler.kineto_results
    return list(results.events())


def _run_stages(step: Step, recorder: CallRecorder) -> None:
    for phase, stage in step.stages.items():
        recorder.in_backward = phase == "backward"
        with _opened(events.STAGE + phase):
            stage()


@contextmanager
def _opened(name: str) -> Iterator[None]:
    opened = _range(name)
    opened.__enter__()
    try:
        yield
    finally:
        opened.__exit__(None, None, None)


def times(trace: Trace, calls: list[Call], latency: float | None = None) -> LayerTimes:
    """Join a trace and average the steps whose launch counts agree."""
    credits = events.join(trace, calls)
    lengths = events.step_nanoseconds(trace)
    kept, notes = _complete_steps(credits, lengths)
    kept = _middle_half(kept, events.busy(credits) if trace.device else lengths)
    credits = [credit for credit in credits if credit.step in kept]
    rows = _rows(credits, calls, len(kept))
    table = LayerTimes(tuple(rows), _attributed(credits), notes)
    if not trace.device:
        return table
    by_step = events.busy(credits)
    busy = statistics.fmean(by_step.get(step, 0) for step in kept) / 1e9
    rest = _device_rest(table.busy_seconds, busy, latency or busy)
    return replace(table, rows=(*table.rows, *rest))


def _device_rest(summed: float, busy: float, latency: float) -> tuple[LayerTime, ...]:
    """Rows that lead from the sum of all kernels to the step's latency."""
    idle = {"idle": max(0.0, latency - busy)}
    gap = LayerTime(DEVICE_GAP, "latency − busy", seconds=idle, in_network=False)
    if summed <= busy * (1 + 1e-6):
        return (gap,)
    twice = {"overlap": busy - summed}
    return LayerTime(OVERLAP, "counted twice above", seconds=twice, in_network=False), gap


def _complete_steps(
    credits: Sequence[Credit], lengths: Mapping[int, int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Steps with the usual number of launches; a profiler that drops events makes odd ones."""
    launches = Counter(credit.step for credit in credits if credit.operator)
    counts = [launches[step] for step in lengths]
    usual, times_seen = Counter(counts).most_common(1)[0]
    if times_seen == 1 and len(counts) > 1:
        return tuple(lengths), ("launch counts differ in every step: some events may be lost",)
    kept = tuple(step for step in lengths if launches[step] == usual)
    dropped = len(counts) - len(kept)
    if dropped == 0:
        return kept, ()
    return kept, (f"{dropped} of {len(counts)} profiled steps lost events and were discarded",)


def _middle_half(steps: Sequence[int], lengths: Mapping[int, int]) -> tuple[int, ...]:
    """Steps without the fastest and slowest quarter: means add up, and hiccups stay out."""
    ordered = sorted(steps, key=lambda step: lengths.get(step, 0))
    quarter = len(ordered) // 4
    return tuple(ordered[quarter : len(ordered) - quarter])


def _rows(credits: Sequence[Credit], calls: Sequence[Call], steps: int) -> list[LayerTime]:
    seconds: dict[tuple[str, str, int], dict[str, float]]
    seconds = defaultdict(lambda: defaultdict(float))
    launches: Counter[tuple[str, str, int]] = Counter()
    outside = {(call.name, call.kind, call.index) for call in calls if not call.in_network}
    for call in calls:
        if not call.recomputed:
            seconds[call.name, call.kind, call.index].update()  # the rows' order
    for credit in credits:
        key, phase = _row_key(credit, calls), credit.phase or "other"
        seconds[key][phase] += credit.nanoseconds / 1e9 / steps
        launches[key] += credit.operator
    last = [(OPTIMIZER, "", 0), (UNKNOWN, "", 0), (HOST_GAP, "Python, hooks, profiler", 0)]
    order = [key for key in seconds if key not in last] + [key for key in last if key in seconds]
    return [
        LayerTime(
            *key,
            seconds=dict(seconds[key]),
            launches=round(launches[key] / steps),
            in_network=key not in last and key not in outside,
        )
        for key in order
        if seconds[key]
    ]


def _row_key(credit: Credit, calls: Sequence[Call]) -> tuple[str, str, int]:
    if not credit.operator:
        return HOST_GAP, "Python, hooks, profiler", 0
    if credit.call is not None:
        call = calls[credit.call]
        return call.name, call.kind, call.index
    return (OPTIMIZER, "", 0) if credit.phase == "optimizer" else (UNKNOWN, "", 0)


def _attributed(credits: Sequence[Credit]) -> dict[str, float]:
    """Share of busy time with a known layer, by phase; the optimiser has a row of its own."""
    total: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for credit in credits:
        if credit.operator:
            phase = credit.phase or "other"
            total[phase] += credit.nanoseconds
            if credit.call is not None or phase == "optimizer":
                known[phase] += credit.nanoseconds
    return {phase: known[phase] / total[phase] for phase in total if total[phase]}
