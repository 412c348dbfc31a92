"""Profiler events of a few steps, each credited once to a module call and a phase.

Three facts join them.
Forward operators lie inside the range that hooks open for each module call.
A backward node carries the sequence number that autograd gave it in the forward pass, and every
call knows the numbers handed out while it ran; so no backward hook is needed and in-place and view
operators keep working.
A kernel carries the correlation id of the operator that launched it.
Gradient accumulation nodes have no number of their own: the engine runs them right after the node
that produced the gradient, and they belong to its layer.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch._C._autograd import DeviceType

CALL = "archscope-call|"
STAGE = "archscope-stage|"
STEP = "archscope-step|"
COMPILED = "Torch-Compiled Region: "
NODE = "autograd::engine::evaluate_function: "

_OWN = (CALL, STAGE, STEP, "ProfilerStep")
_RUNTIME = ("cuda", "cu", "hip")

_NO_WORK = frozenset({
    # CUPTI's own work (Kineto's overheadKindString). It is nested in no operator, may run on any
    # thread, and is reported on the one that ended the session, where it would cut ranges in two.
    "Activity Buffer Request", "Buffer Flush", "Command Buffer Full", "Driver Compiler",
    "Instrumentation", "Lazy Function Loading", "Resource", "Runtime Triggered Module Loading",
    "UVM Activity Init", "Unknown",
    # Waiting, which a device reports beside its kernels when asked to.
    "Context Sync", "Event Sync", "Stream Sync", "Stream Wait Event", "Unknown Sync",
    # Calls of a driver newer than the profiler; their ids are the driver's, no operator's.
    "<unknown>", "INVALID", "unknown",
})  # fmt: skip
"""Records that are neither an operator nor a kernel, by the names Kineto gives them."""


@dataclass(slots=True)
class Call:
    """One call of one module while profiling.

    Args:
        name, kind: dotted path and class name.
        index: 0 for the module's first call in its step.
        recomputed: whether it ran inside the backward pass (activation checkpointing).
        first, last: autograd sequence numbers [first, last) handed out while it ran.
        in_network: False for the loss.
    """

    name: str
    kind: str
    index: int = 0
    recomputed: bool = False
    first: int = 0
    last: int = 0
    in_network: bool = True


@dataclass(slots=True)
class Event:
    """One profiler event in nanoseconds; `inner` is the time that nested events cover."""

    name: str
    start: int
    end: int
    thread: int = 0
    sequence: int = -1
    forward_thread: int = 0
    correlation: int = 0
    linked: int = 0
    inner: int = 0
    parent: Event | None = None
    owner: int | None = None
    phase: str = ""

    @property
    def is_range(self) -> bool:
        """Whether we opened it ourselves; its own time is Python's, not an operator's."""
        return self.name.startswith(_OWN)


@dataclass(slots=True)
class Trace:
    """Events by where they happened: operators and ranges, calls of the driver, device work."""

    host: list[Event] = field(default_factory=list)
    runtime: list[Event] = field(default_factory=list)
    device: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Credit:
    """Busy nanoseconds of one operator or kernel.

    Args:
        step: index of the step in which it was started.
        call: index of the module call it works for; `None` when unknown.
        phase: `forward`, `backward`, `accumulation`, `recompute`, `optimizer`.
        start: when it began.
        operator: False for the time between operators (Python, hooks), on the host.
    """

    step: int
    call: int | None
    phase: str
    nanoseconds: int
    start: int
    operator: bool = True


def read(raw_events: Iterable[Any]) -> Trace:
    """Sort raw Kineto events (`prof.profiler.kineto_results.events()`) by where they happened."""
    trace = Trace()
    for raw in raw_events:
        place = _place(raw, trace)
        if place is not None:
            start = raw.start_ns()
            place.append(
                Event(
                    raw.name(),
                    start,
                    start + raw.duration_ns(),
                    raw.start_thread_id(),
                    raw.sequence_nr(),
                    raw.fwd_thread_id(),
                    raw.correlation_id(),
                    raw.linked_correlation_id(),
                )
            )
    trace.host.sort(key=lambda event: (event.start, -event.end))
    _number_nodes(trace.host)
    return trace


def _place(raw: Any, trace: Trace) -> list[Event] | None:
    name = raw.name()
    if name in _NO_WORK:
        return None
    if raw.device_type() != DeviceType.CPU:
        # Ranges cast a shadow on the device's time line that would count its kernels again.
        shadow = raw.is_user_annotation() or name.startswith((*_OWN, "Optimizer."))
        return None if shadow else trace.device
    if name.startswith(("[", "profiler::")) or raw.is_async():
        return None
    if raw.start_thread_id() != raw.end_thread_id():
        return None
    if "::" not in name and name.startswith(_RUNTIME) and raw.sequence_nr() < 0:
        return trace.runtime
    return trace.host


def _number_nodes(host: Sequence[Event]) -> None:
    """Give engine events the number of the node inside them where the profiler did not.

    It hands the number on only to the event right before the node's, and a hook on a tensor runs
    between the two.
    """
    unnumbered: dict[tuple[int, str], Event] = {}
    for event in host:
        if event.name.startswith(NODE):
            if event.sequence < 0:
                unnumbered[event.thread, event.name] = event
        elif event.sequence >= 0:
            engine = unnumbered.pop((event.thread, NODE + event.name), None)
            if engine is not None and event.end <= engine.end:
                engine.sequence, engine.forward_thread = event.sequence, event.forward_thread


def join(trace: Trace, calls: list[Call]) -> list[Credit]:
    """Credit every kernel, or on a device without kernel records every operator, once.

    Graphs of `torch.compile` hide their modules: each becomes a call, appended to `calls`.
    """
    by_correlation = _own(trace, calls)
    steps = _Steps(trace)
    if trace.device:
        return _device_credits(trace, by_correlation, steps)
    credits = []
    for event in trace.host:
        step = steps.at(event.start)
        if step is not None:
            own = event.end - event.start - event.inner
            operator = not event.is_range
            credits.append(Credit(step, event.owner, event.phase, own, event.start, operator))
    return credits


def _own(trace: Trace, calls: list[Call]) -> dict[int, Event]:
    """Give every host event its parent, owner and phase; the events by correlation id."""
    numbers = _SequenceNumbers(trace, calls)
    last_node: dict[int, int | None] = {}
    open_events: dict[int, list[Event]] = defaultdict(list)
    by_correlation: dict[int, Event] = {}
    latest_call: int | None = None
    for event in trace.host:
        event.inner = 0
        stack = open_events[event.thread]
        while stack and stack[-1].end < event.end:
            stack.pop()
        event.parent = stack[-1] if stack else None
        if event.parent is not None:
            event.parent.inner += event.end - event.start
            event.owner, event.phase = event.parent.owner, event.parent.phase
        stack.append(event)
        name = event.name
        if name.startswith(CALL):
            event.owner = latest_call = int(name.removeprefix(CALL))
            event.phase = "recompute" if calls[event.owner].recomputed else "forward"
        elif name.startswith(STAGE):
            event.phase = name.removeprefix(STAGE)
            # What backward() does outside any node (the loss's own gradient) is the loss's.
            event.owner = latest_call if event.phase == "backward" else None
        elif name.startswith(COMPILED):
            event.owner = len(calls)
            calls.append(Call("compiled graph " + name.removeprefix(COMPILED), "torch.compile"))
        elif name == "CompiledFunction":
            numbers.compiled[event.thread, event.sequence] = event.owner
        elif name.startswith(NODE):
            _own_node(event, numbers, last_node)
        elif _adds_gradients(event):
            event.phase = "accumulation"
        if event.correlation > 0:
            # Overhead records inside an operator inherit its id: the first is the operator.
            by_correlation.setdefault(event.correlation, event)
    return by_correlation


def _own_node(event: Event, numbers: _SequenceNumbers, last_node: dict[int, int | None]) -> None:
    if event.sequence >= 0:
        event.owner = numbers.call(event.forward_thread or event.thread, event.sequence)
        event.phase = "backward"
        last_node[event.thread] = event.owner
    elif "AccumulateGrad" in event.name:
        event.owner = last_node.get(event.thread)
        event.phase = "accumulation"
    else:
        event.owner, event.phase = None, "backward"


def _adds_gradients(event: Event) -> bool:
    """Whether the engine sums gradients that arrive over two paths."""
    parent = event.parent
    return (
        parent is not None
        and parent.name.startswith(NODE)
        and event.name in ("aten::add", "aten::add_")
    )


def _device_credits(trace: Trace, by_correlation: dict[int, Event], steps: _Steps) -> list[Credit]:
    launches = {event.correlation: event for event in trace.runtime}
    starts = [event.start for event in trace.host]
    credits = []
    for kernel in trace.device:
        launch = launches.get(kernel.correlation)
        source = by_correlation.get(kernel.linked) if kernel.linked > 0 else None
        if source is None and launch is not None:
            source = by_correlation.get(launch.linked) if launch.linked > 0 else None
            # A kernel launched by no operator (Triton) belongs where its launch lies in time.
            source = source or _innermost(trace.host, starts, launch.start)
        when = source or launch or kernel
        step = steps.at(when.start)
        if step is not None:
            owner, phase = (source.owner, source.phase) if source else (None, "")
            length = kernel.end - kernel.start
            credits.append(Credit(step, owner, phase, length, kernel.start))
    return credits


def _innermost(host: Sequence[Event], starts: Sequence[int], time: int) -> Event | None:
    """The event opened last of those that contain a time, on whichever thread."""
    for index in range(bisect.bisect_right(starts, time) - 1, -1, -1):
        if host[index].end >= time:
            return host[index]
    return None


def busy(credits: Iterable[Credit]) -> dict[int, int]:
    """Nanoseconds in which each step kept the device busy, overlapping kernels counted once."""
    found: dict[int, int] = defaultdict(int)
    end = 0
    for credit in sorted(credits, key=lambda credit: credit.start):
        finish = credit.start + credit.nanoseconds
        if finish > end:
            found[credit.step] += finish - max(credit.start, end)
            end = finish
    return dict(found)


class _Steps:
    """Which step a time of the host belongs to."""

    def __init__(self, trace: Trace) -> None:
        found = [event for event in trace.host if event.name.startswith(STEP)]
        self._starts = [event.start for event in found]
        self._ends = [event.end for event in found]
        self._steps = [int(event.name.removeprefix(STEP)) for event in found]

    def at(self, time: int) -> int | None:
        index = bisect.bisect_right(self._starts, time) - 1
        return self._steps[index] if index >= 0 and time <= self._ends[index] else None


def step_nanoseconds(trace: Trace) -> dict[int, int]:
    """Length of each profiled step on the host."""
    return {
        int(event.name.removeprefix(STEP)): event.end - event.start
        for event in trace.host
        if event.name.startswith(STEP)
    }


class _SequenceNumbers:
    """The innermost call that was handed an autograd sequence number, by forward thread."""

    def __init__(self, trace: Trace, calls: Sequence[Call]) -> None:
        self.compiled: dict[tuple[int, int], int | None] = {}
        by_thread: dict[int, list[int]] = defaultdict(list)
        for event in trace.host:
            if event.name.startswith(CALL):
                index = int(event.name.removeprefix(CALL))
                if calls[index].last > calls[index].first:
                    by_thread[event.thread].append(index)
        self._marks = {thread: _marks(found, calls) for thread, found in by_thread.items()}

    def call(self, thread: int, sequence: int) -> int | None:
        if (thread, sequence) in self.compiled:
            return self.compiled[thread, sequence]
        marks = self._marks.get(thread)
        if marks is None and len(self._marks) == 1:
            # Some releases report thread 0 when forward ran on the calling thread.
            (marks,) = self._marks.values()
        if marks is None:
            return None
        starts, owners = marks
        index = bisect.bisect_right(starts, sequence) - 1
        return owners[index] if index >= 0 else None


def _marks(indices: Sequence[int], calls: Sequence[Call]) -> tuple[list[int], list[int | None]]:
    """Numbers at which the innermost open call changes, and that call from there on."""
    changes: dict[int, int | None] = {}
    stack: list[int] = []

    def close(before: float) -> None:
        while stack and calls[stack[-1]].last <= before:
            closed = stack.pop()
            changes[calls[closed].last] = stack[-1] if stack else None

    for index in sorted(indices, key=lambda i: (calls[i].first, -calls[i].last, i)):
        close(calls[index].first)
        changes[calls[index].first] = index
        stack.append(index)
    close(float("inf"))
    return list(changes), list(changes.values())
