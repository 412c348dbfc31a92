"""Forward operators that activation checkpointing runs again, inside a node of the backward pass.

`torch.utils.checkpoint` has two ways.
The reentrant one is a node of its own, made by an operator that holds the block's operators.
The other runs them when a node first asks for a tensor that was not kept: the node of the block's
last operator that keeps any, so that the block ends there.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence

from archscope.traces.events import Call, Event
from archscope.traces.functions import functions_around
from archscope.traces.nesting import is_node

PHASES = ("forward", "recompute")

Signature = tuple[str, tuple[tuple[int, ...], ...]]


class Recomputed:
    """Finds the forward operator that a recomputed one repeats.

    Args:
        host: nested, with the owners of forward operators.
        maker: the forward operator that made a node.
    """

    def __init__(self, host: Sequence[Event], maker: Callable[[Event], Event | None]) -> None:
        self._ran: set[str] = set()
        forward: dict[int, list[Event]] = defaultdict(list)
        repeated: dict[Event, list[Event]] = defaultdict(list)
        for event in host:
            if event.phase not in PHASES or not _is_operator(event) or _is_operator(event.parent):
                continue
            # A checkpoint inside another first runs forward while the outer one is recomputed.
            forward[event.thread].append(event)
            if event.phase == "forward":
                self._ran.add(event.name)
            node = _node_around(event) if event.phase == "recompute" else None
            if node is not None:
                repeated[node].append(event)
        self._originals: dict[Event, Event] = {}
        for node, operators in repeated.items():
            made_by = maker(node)
            if made_by is not None:
                originals = _originals(operators, made_by, forward[made_by.thread])
                for operator, original in zip(operators, originals, strict=False):
                    self._originals[operator] = original
                    pairs = zip(
                        functions_around(operator), functions_around(original), strict=False
                    )
                    self._originals.update(pairs)

    def owner(self, event: Event) -> Call | None:
        """The call whose operator this one repeats; `None` where that is not certain."""
        original = self._originals.get(event)
        return None if original is None else original.owner

    def is_of_its_node(self, event: Event) -> bool:
        """Whether an operator is the work of a node whose gradients are to have gradients.

        With `create_graph=True` a node's operators have numbers as those of a forward pass do.
        One that no forward pass runs by itself, as `aten::convolution_backward`, repeats none.
        """
        above = event.parent
        if above is None or above.phase != "backward":
            return False
        return not is_node(above) or event.name not in self._ran


def _is_operator(event: Event | None) -> bool:
    return event is not None and "::" in event.name and not is_node(event)


def _node_around(event: Event) -> Event | None:
    above = event.parent
    while above is not None and not is_node(above):
        above = above.parent
    return above


def _start(event: Event) -> int:
    return event.start


def _signature(event: Event) -> Signature:
    return event.name, event.shapes


def _originals(
    operators: Sequence[Event], made_by: Event, forward: Sequence[Event]
) -> Sequence[Event]:
    """As many forward operators, alike one by one, up to the one that made the node."""
    wanted = [_signature(operator) for operator in operators]
    if _is_operator(made_by):
        return _window(wanted, made_by, forward)
    first = bisect.bisect_right(forward, made_by.start, key=_start)
    inside = forward[first : first + len(wanted)]
    is_inside = bool(inside) and inside[-1].start < made_by.end
    return inside if is_inside and [_signature(event) for event in inside] == wanted else ()


def _window(
    wanted: Sequence[Signature], made_by: Event, forward: Sequence[Event]
) -> Sequence[Event]:
    """Neighbours that are alike and among which is the operator that made the node."""
    outermost = made_by
    while _is_operator(outermost.parent):
        assert outermost.parent is not None
        outermost = outermost.parent
    at = bisect.bisect_left(forward, outermost.start, key=_start)
    if forward[at : at + 1] != [outermost]:
        return ()
    for after in range(len(wanted)):
        first = at + 1 + after - len(wanted)
        window = forward[max(0, first) : at + 1 + after]
        if [_signature(event) for event in window] == wanted:
            return window
    return ()
