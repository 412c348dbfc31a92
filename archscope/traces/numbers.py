"""The forward operator that made a node of the backward pass: by number, by link, or by order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from archscope.traces.events import NODE, Event, Trace
from archscope.traces.families import base, family_of_node
from archscope.traces.nesting import ACCUMULATE, BACKWARD_NAME, is_engine, is_node


class Makers:
    """Finds the forward operator behind a backward node.

    A node carries the sequence number that autograd had when it was made, and the thread.
    Files without numbers may have links (`fwdbwd`).
    Where there are neither, nodes run about in the reverse order of the operators that made them,
    and are named after them: `AddmmBackward0`.

    Args:
        trace: nested, with the owners of forward operators.
    """

    def __init__(self, trace: Trace) -> None:
        self._by_number: dict[int, dict[int, Event]] = defaultdict(dict)
        for event in trace.host:
            # Operators read the number before they make a node, so the last one made it.
            if event.sequence >= 0 and not is_node(event) and event.phase != "optimizer":
                self._by_number[event.sequence][event.thread] = event
        starts = {(event.thread, event.start): event for event in reversed(trace.host)}
        self._linked = {link.backward: starts.get(link.forward) for link in trace.links}
        self._threads = self._learn_threads(trace.host)
        self._by_order = dict(_in_reverse_order(trace.host))

    def _learn_threads(self, host: Sequence[Event]) -> dict[int, int]:
        """Which thread a node means by its number for the forward thread."""
        votes: dict[int, Counter[int]] = defaultdict(Counter)
        for event in host:
            if is_node(event) and event.forward_thread:
                candidates = self._by_number.get(event.sequence, {})
                if len(candidates) == 1:
                    votes[event.forward_thread].update(candidates.keys())
        return {thread: found.most_common(1)[0][0] for thread, found in votes.items()}

    def of(self, node: Event) -> Event | None:
        """The forward operator that made a node, `None` where nothing tells it."""
        candidates = self._by_number.get(node.sequence, {}) if node.sequence >= 0 else {}
        if len(candidates) == 1:
            return next(iter(candidates.values()))
        thread = self._threads.get(node.forward_thread, node.forward_thread)
        if thread in candidates:
            return candidates[thread]
        linked = self._linked.get((node.thread, node.start))
        return linked or _of_replicas(candidates.values()) or self._by_order.get(node)


def _of_replicas(candidates: Iterable[Event]) -> Event | None:
    """Any of several operators that are one call's: replicas count alike, each on its thread."""
    found = list(candidates)
    owners = {None if event.owner is None else event.owner.key for event in found}
    return found[0] if len(owners) == 1 and None not in owners else None


def _in_reverse_order(host: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """Pairs of a node without a number and the forward operator that it is named after."""
    nodes: list[Event] = []
    forward: list[Event] = []
    for event in host:
        if _is_unnumbered(event):
            nodes.append(event)
        elif not is_node(event) and event.phase in ("forward", "recompute"):
            if nodes:  # a new forward pass begins
                yield from _paired(nodes, forward)
                nodes, forward = [], []
            forward.append(event)
    yield from _paired(nodes, forward)


def _is_unnumbered(event: Event) -> bool:
    """Whether it is a node, or the engine's event around one, that has no number."""
    if event.sequence >= 0 or not is_node(event) or ACCUMULATE in event.name:
        return False
    return event.parent is None or not is_engine(event.parent)


def _paired(nodes: Sequence[Event], forward: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    wanted = [_key(node.name) for node in nodes]
    candidates = [event for event in reversed(forward) if _key(event.name) in set(wanted)]
    theirs = [_key(event.name) for event in candidates]
    for block in SequenceMatcher(None, wanted, theirs, autojunk=False).get_matching_blocks():
        for index in range(block.size):
            yield nodes[block.a + index], candidates[block.b + index]


def _key(name: str) -> str:
    """What a node's name and its operator's have in common: `linear` of `AddmmBackward0`."""
    plain = BACKWARD_NAME.sub("", base(name.removeprefix(NODE)))
    return family_of_node(plain)
