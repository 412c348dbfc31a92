"""The module call that every operator works for, forward, recomputed and backward.

Forward operators run inside the range of their module call: our own, or Python's tracer's; where a
file has neither, an alignment with the network says it.
A backward node carries the sequence number that autograd gave it in the forward pass, when the
operator that made it ran.
Gradient accumulation has no number: the engine runs it right after the node that produced the
gradient, and it belongs to its layer.
A sum of gradients belongs to the call whose output is joined: its node runs next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from archscope.traces.events import (
    CALL,
    COMMUNICATION,
    COMPILED,
    COMPILER,
    CRITERION,
    MODULE,
    OPTIMIZER,
    STAGE,
    Call,
    Event,
    Trace,
)
from archscope.traces.nesting import ACCUMULATE, SUMS, is_engine, is_node
from archscope.traces.outside import Stages, inside, named
from archscope.traces.recomputed import Recomputed
from archscope.traces.steps import Steps, inside_module, is_loss, roots

WRAPPERS = frozenset({
    "DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "OptimizedModule",
})  # fmt: skip
"""Classes that run another module as it is; they have no place in a name."""


def assign(trace: Trace, steps: Steps, aligned: Mapping[Event, Call] | None = None) -> None:
    """Give every host event its owner.

    Args:
        trace: nested.
        steps: calls are counted by step.
        aligned: owners of forward operators, where an alignment found them.
    """
    calls = _Calls(trace, steps)
    aligned = aligned or {}
    later = [event for event in trace.host if event.phase == "recompute"]
    for event in trace.host:
        if event.phase != "forward":
            continue
        if event.parent is not None:
            event.owner, event.phase = event.parent.owner, event.parent.phase
        owner = calls.of(event) or named(event) or aligned.get(event)
        if owner is not None:
            event.owner = owner
        if event.owner is OPTIMIZER:
            event.phase = "optimizer"
    _assign_by_place(trace.host, steps)
    made = _Numbers(trace)
    recomputed = Recomputed(trace.host, made.maker)
    for event in later:
        again = event.parent is not None and event.parent.phase == "recompute"
        above = event.parent.owner if again and event.parent is not None else None
        event.owner = calls.of(event) or above or recomputed.owner(event)
    _assign_backward(trace.host, made)


def _assign_by_place(host: Sequence[Event], steps: Steps) -> None:
    stages = Stages(host, steps)
    for event in host:
        if event.owner is None and event.phase == "forward":
            if event.parent is not None and event.parent.owner is not None:
                event.owner, event.phase = event.parent.owner, event.parent.phase
            elif event.kind == "operator" and "::" in event.name:
                event.owner = stages.row(event)
                if event.owner is CRITERION and inside(event, f"{STAGE}backward"):
                    event.phase = "backward"
            if event.owner is OPTIMIZER:
                event.phase = "optimizer"


class _Calls:
    """Makes the Call of each range, module event and compiled region."""

    def __init__(self, trace: Trace, steps: Steps) -> None:
        self._steps = steps
        self._step: int | None = None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._regions = 0
        self._has_ranges = any(event.name.startswith(CALL) for event in trace.host)
        self._root = next((event.name for event in roots(trace.host)), "")

    def of(self, event: Event) -> Call | None:
        name = event.name
        if name.startswith(CALL):
            path, _, kind = name.removeprefix(CALL).rpartition("|")
            return self._call(event, path, kind)
        if name.startswith(COMPILED):
            return self._region(event)
        if not name.startswith(MODULE) or self._has_ranges:
            return None
        if is_loss(event) and not inside_module(event.parent):
            return None
        return self._call(event, *self._module(event))

    def _module(self, event: Event) -> tuple[str, str]:
        """Dotted path and class: `ViTEncoder_0.ViTLayer_3`, without the network's own name."""
        own = event.name.removeprefix(MODULE)
        kind = own.rpartition("_")[0] if own.rpartition("_")[2].isdecimal() else own
        parent = event.parent
        while parent is not None and not parent.name.startswith(MODULE):
            parent = parent.parent
        if parent is None:
            return ("" if event.name == self._root else own), kind
        above, outer = self._module(parent)
        if outer in WRAPPERS:
            return above, kind
        return (f"{above}.{own}" if above else own), kind

    def _call(self, event: Event, path: str, kind: str) -> Call:
        step = self._steps.at(event.start)
        if step != self._step:
            self._step = step
            self._counts.clear()
        key = path, event.phase
        index = self._counts[key]
        self._counts[key] += 1
        return Call(path, kind, index)

    def _region(self, event: Event) -> Call:
        label = event.name.removeprefix(COMPILED).strip(": ")
        return self._call(event, f"compiled region {label}".strip(), COMPILER)


class _Numbers:
    """Finds the forward operator that made a backward node."""

    def __init__(self, trace: Trace) -> None:
        self._by_number: dict[int, dict[int, Event]] = defaultdict(dict)
        for event in trace.host:
            # Operators read the number before they make a node, so the last one made it.
            if event.sequence >= 0 and not is_node(event) and event.phase != "optimizer":
                self._by_number[event.sequence][event.thread] = event
        starts = {(event.thread, event.start): event for event in reversed(trace.host)}
        self._linked = {link.backward: starts.get(link.forward) for link in trace.links}
        self._threads = self._learn_threads(trace.host)

    def _learn_threads(self, host: Sequence[Event]) -> dict[int, int]:
        """Which thread a node means by its number for the forward thread."""
        votes: dict[int, Counter[int]] = defaultdict(Counter)
        for event in host:
            if is_node(event) and event.forward_thread:
                candidates = self._by_number.get(event.sequence, {})
                if len(candidates) == 1:
                    votes[event.forward_thread].update(candidates.keys())
        return {thread: found.most_common(1)[0][0] for thread, found in votes.items()}

    def maker(self, node: Event) -> Event | None:
        candidates = self._by_number.get(node.sequence, {}) if node.sequence >= 0 else {}
        if len(candidates) == 1:
            return next(iter(candidates.values()))
        if candidates:
            thread = self._threads.get(node.forward_thread, node.forward_thread)
            found = candidates.get(thread)
            if found is not None:
                return found
        return self._linked.get((node.thread, node.start))


def _assign_backward(host: Sequence[Event], made: _Numbers) -> None:
    engine = _Engine(made.maker)
    for event in host:
        if event.phase in ("backward", "accumulation"):
            engine.take(event)


class _Engine:
    """Follows the engine from node to node, on each of its threads."""

    def __init__(self, maker: Callable[[Event], Event | None]) -> None:
        self._maker = maker
        self._last: dict[int, Call | None] = {}
        self._sums: dict[int, list[Event]] = defaultdict(list)

    def take(self, event: Event) -> None:
        if event.owner is CRITERION:
            return
        if event.parent is not None:
            event.owner = event.parent.owner
        if is_node(event):
            self._node(event)
        elif named(event) is COMMUNICATION:
            event.owner = COMMUNICATION
        elif event.phase == "accumulation" and event.name in SUMS and self._is_join(event):
            self._sums[event.thread].append(event)
        elif event.parent is None or event.parent.phase == "forward":
            event.owner = self._last.get(event.thread)

    @staticmethod
    def _is_join(event: Event) -> bool:
        return event.parent is None or event.parent.phase == "forward" or is_engine(event.parent)

    def _node(self, event: Event) -> None:
        if ACCUMULATE in event.name:
            event.owner = self._last.get(event.thread)
            return
        maker = self._maker(event)
        if maker is not None:
            event.owner = maker.owner
        elif event.sequence >= 0 or is_engine(event):
            event.owner = None
        if is_engine(event) and maker is None and event.sequence < 0:
            return  # the node inside may know better
        self._last[event.thread] = event.owner
        if event.parent is not None and is_engine(event.parent):
            event.parent.owner = event.owner
        for sum in self._sums.pop(event.thread, ()):
            sum.owner = event.owner
