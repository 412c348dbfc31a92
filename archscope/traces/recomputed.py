"""Forward operators that activation checkpointing runs again, inside a node of the backward pass.

`torch.utils.checkpoint` has two ways.
The reentrant one is a node of its own, made by an operator that holds the block's operators.
The other runs them when a node first asks for a tensor that was not kept: the node of the block's
last operator that keeps any, so that the block ends there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from archscope.traces.events import Call, Event
from archscope.traces.nesting import is_node

Signature = tuple[str, tuple[tuple[int, ...], ...]]


class Recomputed:
    """Finds the forward operator that a recomputed one repeats.

    Args:
        host: nested, with the owners of forward operators.
        maker: the forward operator that made a node.
    """

    def __init__(self, host: Sequence[Event], maker: Callable[[Event], Event | None]) -> None:
        forward: dict[int, list[Event]] = defaultdict(list)
        repeated: dict[Event, list[Event]] = defaultdict(list)
        for event in host:
            if not _is_operator(event):
                continue
            if event.phase == "forward" and not _is_operator(event.parent):
                forward[event.thread].append(event)
            elif event.phase == "recompute" and not _is_operator(event.parent):
                node = _node_around(event)
                if node is not None:
                    repeated[node].append(event)
        self._owners: dict[Event, Call | None] = {}
        for node, operators in repeated.items():
            made_by = maker(node)
            if made_by is not None:
                originals = _originals(operators, made_by, forward[made_by.thread])
                for operator, original in zip(operators, originals, strict=False):
                    self._owners[operator] = original.owner

    def owner(self, event: Event) -> Call | None:
        """The call whose operator this one repeats; `None` where that is not certain."""
        return self._owners.get(event)


def _is_operator(event: Event | None) -> bool:
    return event is not None and "::" in event.name and not is_node(event)


def _node_around(event: Event) -> Event | None:
    above = event.parent
    while above is not None and not is_node(above):
        above = above.parent
    return above


def _signature(event: Event) -> Signature:
    return event.name, event.shapes


def _originals(
    operators: Sequence[Event], made_by: Event, forward: Sequence[Event]
) -> Sequence[Event]:
    """As many forward operators, alike one by one, up to the one that made the node."""
    wanted = [_signature(operator) for operator in operators]
    if _is_operator(made_by):
        return _window(wanted, made_by, forward)
    inside = [event for event in forward if made_by.start < event.start < made_by.end]
    signatures = [_signature(event) for event in inside[: len(wanted)]]
    return inside[: len(wanted)] if signatures == wanted else ()


def _window(
    wanted: Sequence[Signature], made_by: Event, forward: Sequence[Event]
) -> Sequence[Event]:
    """Neighbours that are alike and among which is the operator that made the node."""
    outermost = made_by
    while _is_operator(outermost.parent):
        assert outermost.parent is not None
        outermost = outermost.parent
    if outermost not in forward:
        return ()
    at = forward.index(outermost)
    for after in range(len(wanted)):
        first = at + 1 + after - len(wanted)
        window = forward[max(0, first) : at + 1 + after]
        if [_signature(event) for event in window] == wanted:
            return window
    return ()
