"""Where a trace's steps begin and end, on the host and on the device."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from archscope.traces.events import CALL, MODULE, PROFILER_STEP, STEP, Event, Trace

WHOLE = "no steps are marked, so the trace counts as one step"
"""Note where nothing says when a step begins."""


UPDATE = "Optimizer.step"
"""What PyTorch's ranges around an update begin with."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step by the host's time in nanoseconds, and the thread that ran it."""

    number: int
    start: int
    end: int
    thread: int


class Steps:
    """The steps of a trace, by time.

    Args:
        steps: by time, none within another.
        rule: what marked them, for the reader.
        warmed_up: whether whoever marked them left out what a first step alone does.
    """

    def __init__(self, steps: Sequence[Step], rule: str, warmed_up: bool = False) -> None:
        self.steps = tuple(steps)
        self.rule = rule
        self.warmed_up = warmed_up
        self._starts = [step.start for step in steps]

    def at(self, time: int) -> int | None:
        """The number of the step that the host was in."""
        index = bisect.bisect_right(self._starts, time) - 1
        if index < 0 or time > self.steps[index].end:
            return None
        return self.steps[index].number


def find(trace: Trace, passes: Sequence[tuple[int, int]] = ()) -> Steps:
    """The steps of a trace: our own ranges, the profiler's, or one for each pass of the network.

    Args:
        trace: nested.
        passes: start and end of each forward pass, where an alignment found them.
    """
    for mark in (STEP, PROFILER_STEP):
        marked = [event for event in trace.host if event.name.startswith(mark)]
        if marked:
            rule = f"marked {mark}".rstrip("#|")
            return Steps([_marked(event, mark) for event in marked], rule, mark == STEP)
    if not passes:
        passes = [(event.start, event.end) for event in roots(trace.host)]
    last = max((event.end for event in trace.host), default=0)
    last = max([last, *(launch.start for launch in trace.launches.values())])
    thread = _busiest_thread(trace.host)
    if not passes:
        first = min((event.start for event in trace.host), default=0)
        return Steps([Step(0, first, last, thread)], WHOLE)
    starts, rule = _beginnings(trace.host, [start for start, _ in passes])
    ends = [start - 1 for start in starts[1:]] + [last]
    steps = [Step(i, a, b, thread) for i, (a, b) in enumerate(zip(starts, ends, strict=True))]
    return Steps(steps, rule)


def _beginnings(host: Iterable[Event], passes: Sequence[int]) -> tuple[Sequence[int], str]:
    """The forward passes that begin a step: in training the first one after each update.

    Gradients may be of several passes, and a pass may be of evaluation, as a teacher's is.
    """
    updates = [event.start for event in host if event.name.startswith(UPDATE)]
    if not updates:
        return passes, "from one forward pass of the network to the next"
    found = [passes[0]]
    for before, start in pairwise(passes):
        index = bisect.bisect_right(updates, before)
        if index < len(updates) and updates[index] < start:
            found.append(start)
    return found, "from one forward pass after an update to the next"


def _marked(event: Event, mark: str) -> Step:
    return Step(int(event.name.removeprefix(mark)), event.start, event.end, event.thread)


def roots(host: Iterable[Event]) -> list[Event]:
    """The calls of the outermost module that runs longest, losses aside."""
    outermost: dict[str, list[Event]] = {}
    for event in host:
        if event.phase != "forward" or not event.name.startswith((CALL, MODULE)):
            continue
        if not is_loss(event) and not inside_module(event.parent):
            outermost.setdefault(event.name, []).append(event)
    lengths = {name: sum(e.end - e.start for e in found) for name, found in outermost.items()}
    return outermost[max(lengths, key=lambda name: lengths[name])] if lengths else []


def inside_module(event: Event | None) -> bool:
    """Whether the event or one around it is a module call."""
    while event is not None:
        if event.name.startswith((CALL, MODULE)):
            return True
        event = event.parent
    return False


def is_loss(event: Event) -> bool:
    """Whether a module call is that of a loss, by the name of its class."""
    if not event.name.startswith(MODULE):
        return False
    return event.name.rpartition("_")[0].endswith("Loss")


def _busiest_thread(host: Sequence[Event]) -> int:
    counts = Counter(event.thread for event in host)
    return counts.most_common(1)[0][0] if counts else 0


def windows(trace: Trace, steps: Steps) -> dict[int, tuple[int, int]]:
    """When each step begins and ends: on the device where there are kernels, else on the host.

    The host runs ahead of the device.
    On it a step begins when both are ready for it: the host has begun it, and the device has done
    all that was launched before; it ends where the next one begins.
    """
    if not trace.device:
        return {step.number: (step.start, step.end) for step in steps.steps}
    done = _Done(trace)
    begins = [max(step.start, done.before(step.start)) for step in steps.steps]
    ends = [max(step.end, done.before(step.end)) for step in steps.steps]
    for index, (step, following) in enumerate(
        zip(steps.steps, steps.steps[1:], strict=False)
    ):  # the profiler's own pause between two steps is nobody's
        if following.start - step.end < (step.end - step.start) // 10:
            ends[index] = begins[index + 1]
    return {
        step.number: (begin, end)
        for step, begin, end in zip(steps.steps, begins, ends, strict=True)
    }


class _Done:
    """When the device had done what was launched before a time of the host."""

    def __init__(self, trace: Trace) -> None:
        launched = sorted(
            (kernel.start if launch is None else launch.start, kernel.end)
            for kernel in trace.device
            for launch in [trace.launches.get(kernel.correlation)]
        )
        self._times = [time for time, _ in launched]
        self._ends: list[int] = []
        latest = 0
        for _, end in launched:
            latest = max(latest, end)
            self._ends.append(latest)

    def before(self, time: int) -> int:
        index = bisect.bisect_left(self._times, time) - 1
        return self._ends[index] if index >= 0 else 0
