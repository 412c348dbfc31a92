"""Networks besides the one whose layers are known: a discriminator, a teacher, a head.

Operators with weights that are in no module call are another network's, and so is what runs between
the first and the last of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from archscope.traces.events import FOREIGN, Event
from archscope.traces.families import WEIGHTED, family
from archscope.traces.nesting import is_node
from archscope.traces.outside import LOSSES


def assign_foreign(host: Iterable[Event]) -> None:
    """Give the operators of other networks their row.

    Args:
        host: nested, with the owners of what runs in the network.
    """
    for run in _runs(host):
        weighted = [at for at, event in enumerate(run) if family(event.name) in WEIGHTED]
        if weighted:
            for event in run[weighted[0] : weighted[-1] + 1]:
                event.owner = FOREIGN


def _runs(host: Iterable[Event]) -> Iterator[Sequence[Event]]:
    """Outermost forward operators without an owner that follow one another on a thread.

    A backward pass, the network, and whatever else is known end a run.
    """
    runs: dict[int, list[Event]] = defaultdict(list)
    for event in host:
        if is_node(event):
            yield from runs.values()
            runs.clear()
        elif event.phase == "forward" and event.owner is not None:
            yield runs.pop(event.thread, [])
        elif event.phase == "forward" and _is_outermost(event) and not LOSSES.match(event.name):
            runs[event.thread].append(event)
    yield from runs.values()


def _is_outermost(event: Event) -> bool:
    above = event.parent
    while above is not None:
        if above.kind == "operator" and "::" in above.name:
            return False
        above = above.parent
    return event.kind == "operator" and "::" in event.name
