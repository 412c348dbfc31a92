"""The module call that every operator works for, forward, recomputed and backward.

Forward operators run inside the range of their module call: our own, or Python's tracer's; where a
file has neither, an alignment with the network says it.
A backward node belongs to the call of the operator that made it (`numbers.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from archscope.traces.engine import Engine
from archscope.traces.events import (
    CALL,
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
from archscope.traces.foreign import assign_foreign
from archscope.traces.functions import last_operators
from archscope.traces.nesting import is_graph, is_inside_graph
from archscope.traces.numbers import Makers
from archscope.traces.outside import LOSSES, Stages, inside, named
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
    if any(event.owner is not None and event.owner.in_network for event in trace.host):
        assign_foreign(trace.host)
    _assign_by_place(trace.host, steps)
    if not any(event.owner is not None and event.owner.in_network for event in trace.host):
        _assign_to_operators(trace.host)
    makers = Makers(trace)
    recomputed = Recomputed(trace.host, makers.of)
    for event in later:
        again = event.parent is not None and event.parent.phase == "recompute"
        above = event.parent.owner if again and event.parent is not None else None
        event.owner = calls.of(event) or recomputed.owner(event) or above
        if event.owner is None and recomputed.is_of_its_node(event):
            event.phase = "backward"
    _assign_backward(trace.host, makers)


def _assign_to_operators(host: Sequence[Event]) -> None:
    """Where nothing tells a layer, the operators themselves are the rows."""
    calls: dict[str, Call] = {}
    for event in host:
        if event.owner is not None or event.phase != "forward":
            continue
        above = None if event.parent is None else event.parent.owner
        if above is None and event.kind == "operator" and "::" in event.name:
            name = event.name.rstrip("_")
            above = calls.setdefault(name, Call(name, "operator", in_network=False))
            above = CRITERION if LOSSES.match(name) else above
        event.owner = above


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
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._regions = 0
        self._has_ranges = any(event.name.startswith(CALL) for event in trace.host)
        self._root = next((event.name for event in roots(trace.host)), "")

    def of(self, event: Event) -> Call | None:
        name = event.name
        if name.startswith(CALL):
            path, _, kind = name.removeprefix(CALL).rpartition("|")
            return self._call(event, path, kind)
        if name.startswith(COMPILED):
            label = name.removeprefix(COMPILED).strip(": ")
            return self._call(event, f"compiled region {label}".strip(), COMPILER)
        if is_graph(event) and not is_inside_graph(event) and not _inside_region(event):
            return self._call(event, "compiled region", COMPILER)
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
        key = path, event.phase, event.thread  # replicas of DataParallel have one each
        index = self._counts[key]
        self._counts[key] += 1
        return Call(path, kind, index)


def _inside_region(event: Event) -> bool:
    above = event.parent
    while above is not None:
        if above.name.startswith(COMPILED):
            return True
        above = above.parent
    return False


def _assign_backward(host: Sequence[Event], makers: Makers) -> None:
    engine = Engine(makers.of, last_operators(host))
    for event in host:
        if event.phase in ("backward", "accumulation"):
            engine.take(event)
    engine.finish()
