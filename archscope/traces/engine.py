"""Backward nodes, and what autograd's engine does between them, in the order in which it runs them.

Gradient accumulation has no number: the engine runs it right after the node that produced the
gradient, and it belongs to its layer.
Gradients that arrive over several paths are summed where the last of them is made, but the sum
belongs to the call whose output is joined, whose node runs later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from archscope.traces.events import COMMUNICATION, CRITERION, Call, Event
from archscope.traces.nesting import ACCUMULATE, SUMS, is_engine, is_node
from archscope.traces.outside import named


class Engine:
    """Follows the engine from event to event, on each of its threads.

    Args:
        maker: the forward operator that made a node.
        results: the operator that makes the result of each function in Python.
    """

    def __init__(
        self, maker: Callable[[Event], Event | None], results: Mapping[Event, Event]
    ) -> None:
        self._maker = maker
        self._results = results
        self._last: dict[int, Call | None] = {}
        self._sums: dict[int, _Sums] = defaultdict(_Sums)

    def take(self, event: Event) -> None:
        """Give one event of the backward pass its owner."""
        if event.owner is CRITERION:
            return
        if event.parent is not None:
            event.owner = event.parent.owner
        if is_node(event):
            self._node(event)
        elif named(event) is COMMUNICATION:
            event.owner = COMMUNICATION
        elif event.phase == "accumulation" and event.name in SUMS and _is_beside_nodes(event):
            self._sums[event.thread].add(event, self._last.get(event.thread))
        elif event.parent is None or event.parent.phase == "forward":
            event.owner = self._last.get(event.thread)

    def finish(self) -> None:
        """Give the sums that no node was found for to the node that came next, if any."""
        for sums in self._sums.values():
            sums.finish()

    def _node(self, node: Event) -> None:
        sums, last = self._sums[node.thread], self._last.get(node.thread)
        if ACCUMULATE in node.name:
            node.owner = last
            sums.into_parameter(node)
            return
        maker = self._maker(node)
        if maker is not None:
            node.owner = maker.owner
        elif node.sequence >= 0 or is_engine(node):
            node.owner = None
        if is_engine(node) and maker is None and node.sequence < 0:
            return  # the node inside may know better
        self._last[node.thread] = node.owner
        if node.parent is not None and is_engine(node.parent):
            node.parent.owner = node.owner
        made_by = maker if maker is None else self._results.get(maker, maker)
        sums.into_output(node, node.owner if made_by is None else made_by.owner)


def _is_beside_nodes(event: Event) -> bool:
    """Whether the engine runs it, not a node."""
    return event.parent is None or event.parent.phase == "forward" or is_engine(event.parent)


class _Sums:
    """Sums of gradients whose node has not run yet.

    Where shapes were recorded, a node takes the sums of its gradient's shape.
    A node with several inputs, such as a concatenation's, makes one sum for each; the inputs' own
    nodes run from the last to the first, and each takes the last sum of every such group.
    """

    def __init__(self) -> None:
        self._groups: dict[Event | None, list[Event]] = {}
        self._next: dict[Event, Call | None] = {}

    def add(self, sum: Event, made_by: Call | None) -> None:
        sum.owner = made_by  # of a leaf, should no node follow
        self._groups.setdefault(sum.parent, []).append(sum)

    def into_parameter(self, node: Event) -> None:
        """A parameter that was used several times."""
        self._take(node, node.owner)

    def into_output(self, node: Event, maker: Call | None) -> None:
        """The result of a forward operator; `maker` is the call that it is of."""
        if not self._groups:
            return
        for group in self._groups.values():
            for sum in group:
                self._next.setdefault(sum, maker)
        self._take(node, maker)

    def _take(self, node: Event, owner: Call | None) -> None:
        for group in list(self._groups.values()):
            alike = [sum for sum in group if _is_of(sum, node)]
            for sum in alike[-1:] if node.shapes else alike:
                sum.owner = owner
                group.remove(sum)
        self._groups = {key: group for key, group in self._groups.items() if group}

    def finish(self) -> None:
        for group in self._groups.values():
            for sum in group:
                sum.owner = self._next.get(sum, sum.owner)


def _is_of(sum: Event, node: Event) -> bool:
    if not sum.shapes:
        return ACCUMULATE not in node.name
    return bool(node.shapes) and sum.shapes[0] == node.shapes[0]
