"""Which host event runs inside which, and in which pass: forward, backward or a recomputation."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from archscope.traces.events import CALL, GRAPH, MODULE, NODE, Event, Trace

BACKWARD_NAME = re.compile(r"Backward\d*$")
"""Names of autograd's nodes: `ConvolutionBackward0`, `CompiledFunctionBackward`."""

ACCUMULATE = "AccumulateGrad"
SUMS = ("aten::add", "aten::add_")


def is_node(event: Event) -> bool:
    """Whether it is a node of the backward pass, or the engine's event around one."""
    name = event.name
    if event.kind != "operator":
        return False
    if name.startswith((NODE, "torch::autograd::")):
        return True
    if event.sequence >= 0:
        return event.forward_thread > 0
    return "::" not in name and BACKWARD_NAME.search(name) is not None


def is_engine(event: Event) -> bool:
    """Whether it is the engine's event around a node, in which it also adds gradients up."""
    return event.name.startswith(NODE)


def nest(trace: Trace) -> None:
    """Give every host event its parent, its phase, and the time that nested events cover.

    Phases are `forward`, `backward`, `accumulation` (of gradients) and `recompute` (forward
    operators inside a node, as activation checkpointing runs them).
    """
    opened: dict[int, list[Event]] = defaultdict(list)
    passes = _Passes()
    for event in trace.host:
        stack = opened[event.thread]
        while stack and (
            stack[-1].end <= event.start < event.end or stack[-1].end + trace.rounding < event.end
        ):
            stack.pop()
        parent = stack[-1] if stack else None
        event.parent = parent
        event.inner = 0
        if parent is not None:
            parent.inner += event.end - event.start
        event.phase = passes.phase(event, parent)
        stack.append(event)


class _Passes:
    """Tells the phase of one host event after the other, by time."""

    def __init__(self) -> None:
        self._engine_threads: dict[int, Event] = {}

    def phase(self, event: Event, parent: Event | None) -> str:
        if is_node(event):
            if parent is None or not is_engine(parent):
                self._engine_threads[event.thread] = event
            self._number(event, parent)
            return "accumulation" if ACCUMULATE in event.name else "backward"
        inherited = "forward" if parent is None else parent.phase
        if inherited == "backward":
            if parent is not None and is_engine(parent) and event.name in SUMS:
                return "accumulation"
            return "recompute" if _runs_forward(event, parent) else "backward"
        if inherited != "forward" or is_inside_node(parent):
            return inherited
        return self._beside_nodes(event)

    def _beside_nodes(self, event: Event) -> str:
        """The engine's own operators have no event around them until PyTorch 1.10."""
        last = self._engine_threads.get(event.thread)
        if last is None or is_engine(last) or event.kind != "operator":
            return "forward"
        is_forward = event.sequence >= 0 or "::" not in event.name
        if is_forward or event.parent is not last.parent:
            del self._engine_threads[event.thread]
            return "forward"
        return "accumulation" if event.name in SUMS else "backward"

    @staticmethod
    def _number(event: Event, parent: Event | None) -> None:
        """Give the engine's event the number of the node inside it where the profiler did not.

        It hands the number on only to the event right before the node's, and a hook on a tensor
        runs between the two.
        """
        if parent is None or parent.name != NODE + event.name:
            return
        if parent.sequence < 0 <= event.sequence:
            parent.sequence, parent.forward_thread = event.sequence, event.forward_thread


def _runs_forward(event: Event, parent: Event | None) -> bool:
    """Whether an event inside a node runs a part of the network again.

    Gradients are off while a node runs, so that only such operators have a number, in a file with
    numbers.
    """
    if event.sequence >= 0 or event.name.startswith((CALL, MODULE)):
        return True
    if parent is None or parent.sequence >= 0 or event.name.endswith("detach"):
        return False
    return parent.name.startswith("CheckpointFunctionBackward")


def is_inside_node(event: Event | None) -> bool:
    """Whether the event or one around it is a node."""
    while event is not None:
        if is_node(event):
            return True
        event = event.parent
    return False


def is_graph(event: Event) -> bool:
    """Whether it is a compiled graph in the forward pass."""
    return event.name.startswith(GRAPH) and not is_node(event)


def is_inside_graph(event: Event) -> bool:
    """Whether an event around it is a compiled graph."""
    above = event.parent
    while above is not None:
        if is_graph(above):
            return True
        above = above.parent
    return False


class Timeline:
    """Finds the innermost host event at a time."""

    def __init__(self, host: Iterable[Event]) -> None:
        self._events: dict[int, list[Event]] = defaultdict(list)
        for event in host:
            self._events[event.thread].append(event)
        self._starts = {
            thread: [event.start for event in events] for thread, events in self._events.items()
        }

    def at(self, thread: int, time: int) -> Event | None:
        """The innermost event of a thread; of any thread where that one is unknown."""
        if thread in self._events:
            return self._on(thread, time)
        found = [event for each in self._events if (event := self._on(each, time)) is not None]
        return max(found, key=lambda event: event.start, default=None)

    def _on(self, thread: int, time: int) -> Event | None:
        events: Sequence[Event] = self._events[thread]
        index = bisect.bisect_right(self._starts[thread], time) - 1
        event = events[index] if index >= 0 else None
        while event is not None and event.end < time:
            event = event.parent
        return event
