"""A trace's forward operators ↔ those of a network that was counted, in the order that both run.

Operators with weights decide: they must be the same, one after the other, with the same shapes
where the trace has shapes.
What is between two of them is matched by name, and what then has no match belongs to the
innermost module that runs all around it.
A graph that torch.compile made stands for any number of operators, and so does attention's fused
operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.traces.events import COMPILED, Call, Event, Shapes, Trace
from archscope.traces.families import FREE, FUSED, WEIGHTED, base, family
from archscope.traces.nesting import is_graph, is_node
from archscope.traces.outside import named


@dataclass(frozen=True, slots=True)
class NetworkOperator:
    """One operator of the network.

    Args:
        name: `aten::conv2d`.
        shapes: of its inputs.
        calls: the module calls around it, outermost first.
        number: its place among the network's operators, from 1.
    """

    name: str
    shapes: Shapes
    calls: tuple[Call, ...]
    number: int

    def __str__(self) -> str:
        place = self.calls[-1].name if self.calls else ""
        return f"operator {self.number}" + (f" ({place})" if place else "")


@dataclass(slots=True)
class Alignment:
    """What was found.

    Args:
        owners: the module call of each forward operator.
        passes: host times at which each forward pass of the network starts and ends.
        matched: pairs of an operator of the trace and the network's, of the first pass.
    """

    owners: dict[Event, Call] = field(default_factory=dict)
    passes: list[tuple[int, int]] = field(default_factory=list)
    matched: list[tuple[Event, NetworkOperator]] = field(default_factory=list)


class MismatchError(ArchscopeError):
    """Where trace and network first differ.

    Args:
        found: operators that agree before it.
    """

    def __init__(self, argument: str, problem: str, remedy: str, found: int) -> None:
        super().__init__(argument, problem, remedy)
        self.found = found


def forward_operators(trace: Trace) -> list[Event]:
    """Outermost forward operators and compiled regions of the thread with most of them, by time.

    Args:
        trace: nested.
    """
    by_thread: dict[int, list[Event]] = {}
    hollow = _regions_of_graphs(trace)
    for event in trace.host:
        if event.phase == "forward" and event not in hollow and _is_outermost(event, hollow):
            by_thread.setdefault(event.thread, []).append(event)
    return max(by_thread.values(), key=len, default=[])


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


def compiled_convolutions(trace: Trace) -> dict[Event, list[Event]]:
    """The convolutions that each compiled graph of the forward pass calls."""
    found: dict[Event, list[Event]] = {}
    for event in trace.host:
        if event.phase != "forward" or family(event.name) != "convolution":
            continue
        above = event.parent
        while above is not None and not _is_operator(above) and not is_graph(above):
            above = above.parent
        if above is not None and is_graph(above):
            outermost = above
            while outermost.parent is not None and is_graph(outermost.parent):
                outermost = outermost.parent
            found.setdefault(outermost, []).append(event)
    return found


def _is_outermost(event: Event, hollow: set[Event]) -> bool:
    if not (_is_operator(event) or _is_compiled(event)):
        return False
    above = event.parent
    while above is not None:
        is_compiled = _is_compiled(above) and above not in hollow
        if _is_operator(above) or is_compiled or named(above) is not None:
            return False
        above = above.parent
    return named(event) is None


def _is_operator(event: Event) -> bool:
    return event.kind == "operator" and "::" in event.name and not is_node(event)


def align(
    forward: Sequence[Event],
    network: Sequence[NetworkOperator],
    model: str,
    remedy: str = "",
    convolutions: Mapping[Event, Sequence[Event]] | None = None,
) -> Alignment:
    """Match every forward pass of the network.

    Args:
        forward: of the trace, see `forward_operators`.
        network: all its operators in order.
        model: name of the network, for messages.
        remedy: what to do where they differ.
        convolutions: inside compiled graphs, see `compiled_convolutions`.

    Raises:
        MismatchError: no forward pass in the trace is this network's.
    """
    anchors = [i for i, operator in enumerate(network) if family(operator.name) in WEIGHTED]
    anchors = anchors or [i for i, op in enumerate(network) if base(op.name) not in FREE]
    kinds = {family(network[i].name) for i in anchors}
    text = [i for i, e in enumerate(forward) if _stands_for_many(e) or family(e.name) in kinds]
    search = _Search(forward, network, anchors, text, convolutions or {})
    found = Alignment()
    position = 0
    while position < len(text):
        end = search.run(position)
        if end is None:
            position += 1
            continue
        if search.pairs:
            _Pass(forward, network, search.pairs).fill(found)
        else:  # compiled as a whole
            around = [forward[text[at]] for at in range(position, end)]
            found.passes.append((around[0].start, around[-1].end))
        position = end
    if not found.passes:
        raise search.difference(model, remedy)
    _check_rest(forward, text, found, model, remedy)
    return found


def _check_rest(
    forward: Sequence[Event], text: Sequence[int], found: Alignment, model: str, remedy: str
) -> None:
    """Refuse a part of what was traced, where names alone decide.

    Raises:
        MismatchError: the trace goes on where the network ends.
    """
    if any(event.shapes for event in forward):
        return
    first = found.passes[0][0]
    for position in text:
        event = forward[position]
        if event not in found.owners and not _is_compiled(event):
            when = "before the first" if event.start < first else "behind the last"
            problem = (
                f"is not what was traced: the trace has {base(event.name)} {when} operator of "
                f"{model}"
            )
            raise MismatchError(parameter("model", model), problem, remedy, len(found.matched))


def _is_region(event: Event) -> bool:
    return event.name.startswith(COMPILED)


def _is_compiled(event: Event) -> bool:
    return _is_region(event) or is_graph(event)


def _stands_for_many(event: Event) -> bool:
    """Whether it does the work of several of the network's operators: compiled, or fused."""
    return _is_compiled(event) or base(event.name) in FUSED


class _Search:
    """Runs along a trace and the network together until they differ.

    Args:
        anchors, text: positions of the operators that are compared.
        convolutions: inside compiled graphs.
    """

    def __init__(
        self,
        forward: Sequence[Event],
        network: Sequence[NetworkOperator],
        anchors: Sequence[int],
        text: Sequence[int],
        convolutions: Mapping[Event, Sequence[Event]],
    ) -> None:
        self._forward, self._network = forward, network
        self._convolutions = convolutions
        self._anchors, self._text = anchors, text
        self.pairs: list[tuple[int, int]] = []
        self._furthest: tuple[int, Event | None] | None = None

    def run(self, start: int) -> int | None:
        """The position behind a forward pass that begins at one; `None` where none does."""
        pairs: list[tuple[int, int]] = []
        at, i = start, 0
        while i < len(self._anchors):
            if at >= len(self._text):
                self._differs(i, None)
                return None
            event = self._forward[self._text[at]]
            if _stands_for_many(event):
                at += 1
                behind = self._behind(at, i)
                if behind is None:
                    self._differs(i, self._forward[self._text[at]])
                    return None
                if not self._holds(event, i, behind):
                    return None
                i = behind
                continue
            operator = self._network[self._anchors[i]]
            if not _alike(event, operator):
                self._differs(i, event)
                return None
            pairs.append((self._text[at], self._anchors[i]))
            at, i = at + 1, i + 1
        self.pairs = pairs
        return max(at, start + 1)

    def _behind(self, at: int, i: int) -> int | None:
        """The network's operator at which the trace goes on behind one that stands for many."""
        following = []
        for position in self._text[at : at + 8]:
            if _stands_for_many(self._forward[position]):
                break
            following.append(self._forward[position])
        for skipped in range(i, len(self._anchors)):
            operators = [self._network[k] for k in self._anchors[skipped : skipped + 8]]
            pairs = list(zip(following, operators, strict=False))
            if pairs and all(_alike(event, operator) for event, operator in pairs):
                return skipped
        return None if following else len(self._anchors)

    def _holds(self, graph: Event, i: int, behind: int) -> bool:
        """Whether the network has, in this order, the convolutions that a graph calls as they are.

        The compiler makes other operators into kernels of its own.
        """
        network = [
            k for k in range(i, behind)
            if family(self._network[self._anchors[k]].name) == "convolution"
        ]  # fmt: skip
        for event in self._convolutions.get(graph, ()):
            alike = [k for k in network if _alike(event, self._network[self._anchors[k]])]
            if not alike:
                self._differs(network[0] if network else i, event)
                return False
            network = [k for k in network if k > alike[0]]
        return True

    def _differs(self, i: int, event: Event | None) -> None:
        if self._furthest is None or i > self._furthest[0]:
            self._furthest = i, event

    def difference(self, model: str, remedy: str) -> MismatchError:
        """The first difference of the run that went furthest."""
        if self._furthest is None:
            problem = "is not in the trace: it has no forward operators like its"
            return MismatchError(parameter("model", model), problem, remedy, 0)
        i, event = self._furthest
        operator = self._network[self._anchors[i]]
        theirs, ours = _described(event, operator)
        problem = f"is not what was traced: {operator}: the trace has {theirs}, {model} has {ours}"
        return MismatchError(parameter("model", model), problem, remedy, i)


def _alike(event: Event, operator: NetworkOperator) -> bool:
    if family(event.name) != family(operator.name):
        return False
    comparable = base(event.name) == base(operator.name) or family(event.name) == "convolution"
    if not event.shapes or not comparable:
        return True
    pairs = list(zip(event.shapes, operator.shapes, strict=False))[:2]
    return all(theirs == ours or not theirs or not ours for theirs, ours in pairs)


def _described(event: Event | None, operator: NetworkOperator) -> tuple[str, str]:
    """Both operators, by weight where that differs, else by input."""
    ours = base(operator.name)
    if event is None:
        return "no more", ours
    theirs = base(event.name)
    if not event.shapes or family(theirs) != family(ours):
        return theirs, ours
    weight, input = (0, 1) if family(event.name).startswith("embedding") else (1, 0)
    same = event.shapes[weight : weight + 1] == operator.shapes[weight : weight + 1]
    place, word = (input, "on ") if same else (weight, "")
    return (
        f"{theirs} {word}{_text(event.shapes, place)}",
        f"{ours} {word}{_text(operator.shapes, place)}",
    )


def _text(shapes: Shapes, place: int) -> str:
    return "×".join(map(str, shapes[place])) if place < len(shapes) else ""


class _Pass:
    """One forward pass whose operators with weights are matched.

    Args:
        pairs: positions in the trace and in the network.
    """

    def __init__(
        self,
        forward: Sequence[Event],
        network: Sequence[NetworkOperator],
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        self._forward, self._network, self._anchors = forward, network, pairs

    def fill(self, found: Alignment) -> None:
        """Match also what is before, between and behind, and note the owners."""
        pairs = self._before() + self._between() + self._behind()
        matched = dict(pairs)
        for position, index in pairs:
            calls = self._network[index].calls
            if calls:
                found.owners[self._forward[position]] = calls[-1]
        self._fill_containers(pairs, found)
        first, last = pairs[0][0], pairs[-1][0]
        self._fill_gaps(matched, first, last, found)
        found.passes.append((self._forward[first].start, self._forward[last].end))
        if not found.matched:
            found.matched = [(self._forward[p], self._network[i]) for p, i in pairs]

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

    def _fill_containers(self, pairs: Sequence[tuple[int, int]], found: Alignment) -> None:
        """Give functions in Python around operators, as checkpoints are, what these share."""
        inside: dict[Event, list[tuple[Call, ...]]] = {}
        for position, index in pairs:
            above = self._forward[position].parent
            while above is not None and above.sequence >= 0:
                inside.setdefault(above, []).append(self._network[index].calls)
                above = above.parent
        for container, chains in inside.items():
            owner = _shared(chains)
            if owner is not None:
                found.owners[container] = owner

    def _fill_gaps(self, matched: dict[int, int], first: int, last: int, found: Alignment) -> None:
        """Give what has no match to the module that runs all around it."""
        before = first
        for position in range(first, last + 1):
            if position in matched:
                before = position
                continue
            event = self._forward[position]
            if _is_compiled(event):
                continue
            after = next(p for p in range(position, last + 1) if p in matched)
            owner = self._around(matched[before], matched[after])
            if owner is not None:
                found.owners[event] = owner

    def _around(self, before: int, after: int) -> Call | None:
        """The innermost call around what the network runs there, or else around the place."""
        missing = [
            operator.calls
            for operator in self._network[before + 1 : after]
            if operator.calls and base(operator.name) not in FREE
        ]
        return _shared(missing or [self._network[before].calls, self._network[after].calls])


def _shared(chains: Sequence[tuple[Call, ...]]) -> Call | None:
    """The innermost call that several chains of calls have in common."""
    shared = None
    for calls in zip(*chains, strict=False):
        if any(call is not calls[0] for call in calls):
            break
        shared = calls[0]
    return shared
