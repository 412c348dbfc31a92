"""One forward pass in a trace: the module call of every operator in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from archscope.traces.events import Call, Event
from archscope.traces.families import FREE, FUSED, base, family
from archscope.traces.forward import is_compiled
from archscope.traces.functions import functions_around
from archscope.traces.network import NetworkOperator
from archscope.traces.unlike import Unlike, unlike


@dataclass(slots=True)
class Alignment:
    """What was found.

    Args:
        owners: the module call of each forward operator.
        passes: host times at which each forward pass of the network starts and ends.
        others: the same of passes on inputs of other sizes.
        matched: pairs of an operator of the trace and the network's, of the first pass.
        unlike: what differs between operators with weights, in the first pass.
    """

    owners: dict[Event, Call] = field(default_factory=dict)
    passes: list[tuple[int, int]] = field(default_factory=list)
    others: list[tuple[int, int]] = field(default_factory=list)
    matched: list[tuple[Event, NetworkOperator]] = field(default_factory=list)
    unlike: list[Unlike] = field(default_factory=list)


class Pass:
    """One forward pass whose operators with weights are matched.

    Args:
        pairs: positions in the trace and in the network.
        span: positions in the trace of its first and last operator that does the work of one with
            weights.
    """

    def __init__(
        self,
        forward: Sequence[Event],
        network: Sequence[NetworkOperator],
        pairs: Sequence[tuple[int, int]],
        span: tuple[int, int],
    ) -> None:
        self._forward, self._network, self._anchors = forward, network, pairs
        self._span = span

    def fill(self, found: Alignment) -> None:
        """Match also what is before, between and behind, and note the owners."""
        pairs = self._before() + self._between() + self._behind()
        matched = dict(pairs)
        for position, index in pairs:
            calls = self._network[index].calls
            if calls:
                found.owners[self._forward[position]] = calls[-1]
        self._fill_functions(pairs, found)
        first = min(pairs[0][0], self._span[0])
        last = max(pairs[-1][0], self._span[1])
        self._fill_gaps(matched, first, last, found)
        found.passes.append((self._forward[first].start, self._forward[last].end))
        if not found.matched:
            found.matched = [(self._forward[p], self._network[i]) for p, i in pairs]
            found.unlike = unlike(self._forward, self._network, self._anchors)

    def _between(self) -> list[tuple[int, int]]:
        pairs = [self._anchors[0]]
        for (a, i), (b, j) in zip(self._anchors, self._anchors[1:], strict=False):
            theirs = [family(event.name) for event in self._forward[a + 1 : b]]
            ours = [family(operator.name) for operator in self._network[i + 1 : j]]
            for block in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks():
                pairs += [(a + 1 + block.a + k, i + 1 + block.b + k) for k in range(block.size)]
            pairs.append((b, j))
        return pairs

    def _before(self) -> list[tuple[int, int]]:
        return self._outwards(*self._anchors[0], -1)[::-1]

    def _behind(self) -> list[tuple[int, int]]:
        return self._outwards(*self._anchors[-1], 1)

    def _outwards(self, position: int, index: int, step: int) -> list[tuple[int, int]]:
        """Operators beyond the outermost anchor, as long as they are the same."""
        pairs = []
        position, index = position + step, index + step
        while 0 <= index < len(self._network) and 0 <= position < len(self._forward):
            theirs, ours = self._forward[position].name, self._network[index].name
            if family(theirs) == family(ours):
                pairs.append((position, index))
                position, index = position + step, index + step
            elif base(ours) in FREE:
                index += step
            elif base(theirs) in FREE:
                position += step
            else:
                break
        return pairs

    def _fill_functions(self, pairs: Sequence[tuple[int, int]], found: Alignment) -> None:
        """Give functions around operators to the module call that runs them."""
        inside: dict[Event, list[int]] = {}
        for position, index in pairs:
            functions = list(functions_around(self._forward[position]))
            owners = self._network[index].functions
            if len(owners) == len(functions):
                known = zip(functions, owners, strict=True)
                found.owners |= {event: call for event, call in known if call is not None}
            else:
                for function in functions:
                    inside.setdefault(function, []).append(index)
        for function, indexes in inside.items():
            owner = self._caller(indexes)
            if owner is not None:
                found.owners.setdefault(function, owner)

    def _caller(self, indexes: Sequence[int]) -> Call | None:
        """What runs a function that the network was counted without: what is around its operators.

        A function that holds all of a module is around the module, not inside it.
        """
        chains = [self._network[index].calls for index in indexes]
        shared = _shared(chains)
        if shared is None:
            return None
        outside = [*self._network[: min(indexes)][-1:], *self._network[max(indexes) + 1 :][:1]]
        above = chains[0][: chains[0].index(shared)]
        if above and not any(shared in operator.calls for operator in outside):
            return above[-1]
        return shared

    def _fill_gaps(self, matched: dict[int, int], first: int, last: int, found: Alignment) -> None:
        """Give what has no match to the module that runs all around it."""
        gap: list[int] = []
        before: int | None = None
        for position in range(first, last + 1):
            if position not in matched:
                gap.append(position)
                continue
            self._fill_gap(gap, before, matched[position], found)
            gap, before = [], matched[position]
        self._fill_gap(gap, before, None, found)

    def _fill_gap(
        self, gap: Sequence[int], before: int | None, after: int | None, found: Alignment
    ) -> None:
        """Own operators without a match between two of the network's; `None` is its end."""
        events = [self._forward[position] for position in gap]
        events = [event for event in events if not is_compiled(event)]
        if not events:
            return
        begin = 0 if before is None else before + 1
        missing = [
            operator.calls
            for operator in self._network[begin:after]
            if operator.calls and base(operator.name) not in FREE
        ]
        around = [self._network[i].calls for i in (before, after) if i is not None]
        owner = _shared(missing or around)
        fused = _Fused(missing)
        for event in events:
            own = fused.next(event) or owner
            if own is not None:
                found.owners[event] = own
                for function in functions_around(event):
                    found.owners.setdefault(function, own)


class _Fused:
    """The modules that fused operators do the work of, one after the other.

    Args:
        chains: the module calls around the operators that the trace does not have.
    """

    def __init__(self, chains: Sequence[tuple[Call, ...]]) -> None:
        self._calls = {
            kind: iter(dict.fromkeys(c for calls in chains for c in calls if c.kind == kind))
            for kind in FUSED.values()
        }

    def next(self, event: Event) -> Call | None:
        kind = FUSED.get(base(event.name))
        return None if kind is None else next(self._calls[kind], None)


def _shared(chains: Sequence[tuple[Call, ...]]) -> Call | None:
    """The innermost call that several chains of calls have in common."""
    shared = None
    for calls in zip(*chains, strict=False):
        if any(call is not calls[0] for call in calls):
            break
        shared = calls[0]
    return shared
