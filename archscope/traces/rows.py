"""Credits → the rows of a step's table, which add up to the step."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from archscope.records import LayerTime
from archscope.traces import steps as steps_of
from archscope.traces.durations import BACKWARD
from archscope.traces.events import ELSEWHERE, FOREIGN, Event, Trace
from archscope.traces.join import Credit, busy
from archscope.traces.steps import Steps
from archscope.traces.stretches import by_step, waits

# Rows that are not a module of the network are in brackets and have `in_network` False.
HOST_GAP = "[between operators]"
DEVICE_GAP = "[GPU idle / launch gap]"
GAPS = (HOST_GAP, DEVICE_GAP)
OVERLAP = "[overlapping kernels]"
UNATTRIBUTED = "[unattributed]"

Key = tuple[str, str, int, bool]
"""Of a row, see `Call.key`."""


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """The table of one profiled step.

    Args:
        rows: in execution order, then what is no layer's, what found none, and the gap.
        attributed: share of the busy time that found its layer, `forward` and `backward`; of the
            time that is neither optimiser's, loss's nor the like.
        notes: what a reader must know (steps discarded, overlapping kernels).
        steps: nanoseconds of each step that the rows are the mean of.
        numbers: of these steps.
    """

    rows: tuple[LayerTime, ...] = ()
    attributed: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def step_seconds(self) -> float:
        """What the rows add up to."""
        return sum(row.total_seconds for row in self.rows)

    @property
    def busy_seconds(self) -> float:
        """The device at work, overlapping kernels counted once."""
        return sum(row.total_seconds for row in self.rows if row.in_network or row.name not in GAPS)


def layer_times(
    trace: Trace, steps: Steps, credits: Sequence[Credit], latency: float | None = None
) -> LayerTimes:
    """Average the steps whose launch counts agree.

    Args:
        trace: nested, with its owners.
        steps: of the trace.
        credits: of the trace.
        latency: seconds of a step that the rows of a device add up to; the mean of the steps in
            the trace when `None`.
    """
    found = list(credits)
    windows = steps_of.windows(trace, steps)
    lengths = {step: end - begin for step, (begin, end) in windows.items()}
    complete, notes = _complete_steps(found, lengths)
    warmup: tuple[str, ...] = ()
    if not steps.warmed_up:
        complete, warmup = _warm_steps(complete, lengths)
    busy_of = busy(found)
    used = _middle_half(complete, busy_of if trace.device and latency is not None else lengths)
    found = [credit for credit in found if credit.step in used]
    waiting: dict[Key, float] = {}
    mean = statistics.fmean(lengths[step] for step in used) / 1e9
    length = statistics.fmean(busy_of.get(step, 0) for step in used) / 1e9
    whole = mean if latency is None else latency
    if trace.device and length < mean:
        share = max(0.0, whole - length) / (mean - length)
        waiting = _waiting(found, {step: windows[step] for step in used}, share)
    rows = _rows(found, _in_order(trace.host), len(used), waiting)
    if trace.device:
        rows += _device_rest(rows, length, whole)
    else:
        rows += _host_rest(rows, mean)
    return LayerTimes(
        tuple(rows),
        _attributed(found),
        notes + warmup,
        tuple(lengths[step] for step in complete),
        complete,
    )


def _device_rest(rows: Sequence[LayerTime], busy: float, latency: float) -> list[LayerTime]:
    """Rows that lead from the sum of all kernels to the step's latency."""
    summed = sum(row.total_seconds for row in rows)
    idle = {"idle": max(0.0, latency - busy)}
    gap = LayerTime(DEVICE_GAP, "latency − busy", seconds=idle, in_network=False)
    together = min(busy, latency)
    if summed <= together * (1 + 1e-9):
        return [gap]
    twice = {"overlap": together - summed}
    return [LayerTime(OVERLAP, "counted twice above", seconds=twice, in_network=False), gap]


def _host_rest(rows: Sequence[LayerTime], step: float) -> list[LayerTime]:
    """The row that leads from the operators to the step: Python, hooks, and the profiler."""
    rest = {"other": step - sum(row.total_seconds for row in rows)}
    return [LayerTime(HOST_GAP, "Python, hooks, profiler", seconds=rest, in_network=False)]


def _complete_steps(
    credits: Sequence[Credit], lengths: Mapping[int, int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Steps with the usual number of launches; a profiler that drops events makes odd ones."""
    launches = Counter(credit.step for credit in credits if credit.operator)
    # The profiler marks one step more than it records.
    lengths = {step: length for step, length in lengths.items() if launches[step]} or lengths
    seen = Counter(launches[step] for step in lengths)
    usual = max(seen, key=lambda count: (seen[count], count))
    differ: tuple[str, ...] = ()
    if seen[usual] > 1:
        counted = tuple(step for step in lengths if launches[step] == usual)
    else:
        counted = tuple(step for step in lengths if launches[step] >= CUT_OFF * usual)
        differ = (DIFFER,) if len(counted) > 1 else ()
    dropped = len(lengths) - len(counted)
    if dropped == 0:
        return counted, differ
    return counted, (f"left out: {dropped} of {len(lengths)} steps, {WHY_LEFT_OUT}", *differ)


WHY_LEFT_OUT = (
    "with other launches than the rest (cut off, of another kind, or the profiler lost events)"
)

CUT_OFF = 0.9
"""Steps with fewer than this share of another one's launches are cut off, or of another kind."""

DIFFER = "launch counts differ in every step: some events may be lost"

WARMUP = 3
"""A first step that takes more than this multiple of the later ones is a warm-up."""


def _warm_steps(
    steps: tuple[int, ...], lengths: Mapping[int, int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Steps without those at the beginning that compile, search algorithms or load libraries."""
    first = 0
    while len(steps) - first > 1:
        later = statistics.median(lengths[step] for step in steps[first + 1 :])
        if lengths[steps[first]] <= WARMUP * later:
            break
        first += 1
    if first == 0:
        return steps, ()
    left_out = "step is" if first == 1 else f"{first} steps are"
    return steps[first:], (f"the first {left_out} left out as a warm-up, of {len(steps)}",)


def _middle_half(steps: Sequence[int], lengths: Mapping[int, int]) -> tuple[int, ...]:
    """Steps without the fastest and slowest quarter: means add up, and hiccups stay out."""
    ordered = sorted(steps, key=lambda step: lengths.get(step, 0))
    quarter = len(ordered) // 4
    return tuple(ordered[quarter : len(ordered) - quarter])


def _in_order(host: Iterable[Event]) -> dict[Key, None]:
    """Module calls in the order of their beginning."""
    return {
        event.owner.key: None
        for event in host
        if event.phase == "forward" and event.owner is not None
    }


UNKNOWN = (UNATTRIBUTED, "", 0, False)


def _waiting(
    credits: Sequence[Credit], windows: Mapping[int, tuple[int, int]], share: float
) -> dict[Key, float]:
    """Seconds of a step that the device waits for the kernels of each row.

    Args:
        credits: of the steps that count.
        windows: when the device begins and ends each of them.
        share: of this waiting that remains without profiler, which slows the host down.
    """
    found: dict[Key, float] = defaultdict(float)
    for stretches in by_step(credits, windows).values():
        for call, nanoseconds in waits(stretches).items():
            key = UNKNOWN if call is None else call.key
            found[key] += share * nanoseconds / 1e9 / len(windows)
    return dict(found)


def _rows(
    credits: Sequence[Credit],
    calls: Mapping[Key, None],
    steps: int,
    waiting: Mapping[Key, float],
) -> list[LayerTime]:
    """One row a module call, then one for each thing that is no layer's.

    Args:
        credits: of the steps that count.
        calls: in the order of their rows.
        steps: how many.
        waiting: seconds that the device waits for a row.
    """
    seconds: dict[Key, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    launches: Counter[Key] = Counter()
    for credit in credits:
        if credit.operator:
            key = UNKNOWN if credit.call is None else credit.call.key
            seconds[key][credit.phase or "other"] += credit.nanoseconds / 1e9 / steps
            launches[key] += 1
    last = [call.key for call in (FOREIGN, *ELSEWHERE)] + [UNKNOWN]
    order = [key for key in {**calls, **seconds} if key not in last] + last
    return [
        LayerTime(
            name, kind, index, dict(seconds[name, kind, index, inside]),
            round(launches[name, kind, index, inside] / steps), inside,
            waiting.get((name, kind, index, inside), 0.0),
        )
        for name, kind, index, inside in order
        if (name, kind, index, inside) in seconds
    ]  # fmt: skip


def _attributed(credits: Sequence[Credit]) -> dict[str, float]:
    """Share of busy time with a known layer, by pass."""
    total: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for credit in credits:
        if credit.operator and credit.call not in ELSEWHERE:
            phase = "backward" if credit.phase in BACKWARD else credit.phase or "other"
            total[phase] += credit.nanoseconds
            if credit.call is not None and credit.call.in_network:
                known[phase] += credit.nanoseconds
    return {phase: known[phase] / total[phase] for phase in total if total[phase]}
