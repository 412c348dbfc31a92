"""Which events of a trace are operators of the forward pass, and which graphs of the compiler."""

from __future__ import annotations

from collections.abc import Iterable

from archscope.traces.events import COMPILED, PROFILER_STEP, STEP, Event, Trace
from archscope.traces.families import FUSED, base
from archscope.traces.nesting import is_graph, is_node
from archscope.traces.outside import named


def forward_operators(trace: Trace) -> list[Event]:
    """Outermost forward operators and compiled regions of the thread with most of them, by time.

    Args:
        trace: nested.
    """
    return next(iter(by_thread(trace)), [])


def by_thread(trace: Trace) -> list[list[Event]]:
    """The same of every thread, the one with most of them first.

    Threads that do the same one after another count as one: DataParallel starts new ones in every
    step.

    Args:
        trace: nested.
    """
    found: dict[int, list[Event]] = {}
    hollow = _regions_of_graphs(trace)
    for event in trace.host:
        if event.phase == "forward" and event not in hollow and _is_outermost(event, hollow):
            found.setdefault(event.thread, []).append(event)
    return sorted(_successions(found.values()), key=len, reverse=True)


def _successions(threads: Iterable[list[Event]]) -> list[list[Event]]:
    """The events of threads, in one list where one begins like another one, after its end."""
    found: list[list[Event]] = []
    for events in sorted(threads, key=lambda events: events[0].start):
        first = events[0]
        before = next(
            (e for e in found if e[0].name == first.name and e[-1].end <= first.start), None
        )
        if before is None:
            found.append(events)
        else:
            before += events
    return found


def _regions_of_graphs(trace: Trace) -> set[Event]:
    """Compiled regions whose graphs have events; the rest of such a region runs as it is."""
    found: set[Event] = set()
    for event in trace.host:
        above = event.parent if is_graph(event) else None
        while above is not None:
            if _is_region(above):
                found.add(above)
            above = above.parent
    return found


def boundaries(trace: Trace) -> list[int]:
    """Times at which no forward pass of the network goes on: nodes run, or a step begins."""
    return [
        event.start
        for event in trace.host
        if event.name.startswith((STEP, PROFILER_STEP))
        or (is_node(event) and event.phase == "backward")
    ]


def _is_outermost(event: Event, hollow: set[Event]) -> bool:
    if not (is_operator(event) or is_compiled(event)):
        return False
    above = event.parent
    while above is not None:
        inside_graph = is_compiled(above) and above not in hollow
        if is_operator(above) or inside_graph or named(above) is not None:
            return False
        above = above.parent
    return named(event) is None


def is_operator(event: Event) -> bool:
    return event.kind == "operator" and "::" in event.name and not is_node(event)


def _is_region(event: Event) -> bool:
    return event.name.startswith(COMPILED)


def is_compiled(event: Event) -> bool:
    return _is_region(event) or is_graph(event)


def stands_for_many(event: Event) -> bool:
    """Whether it does the work of several of the network's operators: compiled, or fused."""
    return is_compiled(event) or base(event.name) in FUSED
