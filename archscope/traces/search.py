"""Where in a trace the operators with weights are the network's, and where the two first differ."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.traces import compiled
from archscope.traces.compiled import Graph
from archscope.traces.events import Event, Shapes
from archscope.traces.families import FUSED, base
from archscope.traces.forward import is_compiled, stands_for_many
from archscope.traces.network import NetworkOperator, alike, described, shape_text


class MismatchError(ArchscopeError):
    """Where trace and network first differ.

    Args:
        found: operators that agree before it.
    """

    def __init__(self, argument: str, problem: str, remedy: str, found: int) -> None:
        super().__init__(argument, problem, remedy)
        self.found = found


def unlike_operators(
    event: Event | None,
    operator: NetworkOperator,
    model: str,
    remedy: str,
    found: int,
    texts: tuple[str, str] | None = None,
) -> MismatchError:
    """An operator of the trace is not the network's, in these words where they are given."""
    theirs, ours = texts or described(event, operator)
    problem = f"is not what was traced: {operator}: the trace has {theirs}, {model} has {ours}"
    return MismatchError(parameter("model", model), problem, remedy, found)


def _on_input(name: str, shapes: Shapes) -> str:
    return f"{base(name)} on {shape_text(shapes[0])}"


class Search:
    """Runs along a trace and the network together until they differ.

    Args:
        anchors, text: positions of the operators that are compared.
        graphs: compiled, see `compiled.graphs`.
        boundaries: host times at which no forward pass goes on, see `forward.boundaries`.
        alike: whether an operator of the trace may be one of the network's.
    """

    def __init__(
        self,
        forward: Sequence[Event],
        network: Sequence[NetworkOperator],
        anchors: Sequence[int],
        text: Sequence[int],
        graphs: Mapping[Event, Graph],
        boundaries: Sequence[int],
        alike: Callable[[Event, NetworkOperator], bool] = alike,
    ) -> None:
        self._alike = alike
        self._forward, self._network = forward, network
        self._boundaries = boundaries
        self._graphs = graphs
        self._anchors, self._text = anchors, text
        self.pairs: list[tuple[int, int]] = []
        self._start = 0
        self._unlike: tuple[Event, NetworkOperator] | None = None
        self._furthest: tuple[int, int, Event | None, tuple[str, str] | None] | None = None

    def run(self, start: int) -> int | None:
        """The position behind a forward pass that begins at one; `None` where none does."""
        pairs: list[tuple[int, int]] = []
        at, i = start, 0
        self._start = start
        while i < len(self._anchors):
            if at >= len(self._text):
                self._differs(i, None)
                return None
            event = self._forward[self._text[at]]
            if stands_for_many(event):
                group = self._group(at, i)
                at += len(group)
                behind = self._behind_module(event, i) or self._behind(at, i)
                if behind is None:
                    self._differs(i, self._forward[self._text[at]])
                    return None
                if not self._holds(group, i, behind):
                    return None
                i = behind
                continue
            operator = self._network[self._anchors[i]]
            if not self._alike(event, operator):
                self._differs(i, event)
                return None
            pairs.append((self._text[at], self._anchors[i]))
            at, i = at + 1, i + 1
        self.pairs = pairs
        return max(at, start + 1)

    def _group(self, at: int, i: int) -> Sequence[Event]:
        """Graphs that follow one another, as those of blocks that are compiled one by one do.

        Which of the network's operators each of them stands for is unknown.
        """
        group = [self._forward[self._text[at]]]
        for position in self._text[at + 1 :]:
            event = self._forward[position]
            if not (is_compiled(group[-1]) and is_compiled(event)):
                break
            if self._is_between(group[-1].start, event.start):
                break
            group.append(event)
        if i == 0 and not self._behind(at + len(group), 1):
            # Without operators of their own, passes begin where the first graph runs again.
            names = [event.name for event in group]
            again = names.index(names[0], 1) if names[0] in names[1:] else len(names)
            return group[:again]
        return group

    def _is_between(self, start: int, end: int) -> bool:
        """Whether a backward pass or a step begins between two times."""
        found = bisect.bisect_right(self._boundaries, start)
        return found < len(self._boundaries) and self._boundaries[found] < end

    def _behind_module(self, event: Event, i: int) -> int | None:
        """The network's operator behind the module whose work a fused operator does."""
        kind = FUSED.get(base(event.name))
        own = next((c for c in self._network[self._anchors[i]].calls if c.kind == kind), None)
        if own is None:
            return None
        while i < len(self._anchors) and own in self._network[self._anchors[i]].calls:
            i += 1
        return i

    def _behind(self, at: int, i: int) -> int | None:
        """The network's operator at which the trace goes on behind one that stands for many."""
        following = []
        for position in self._text[at : at + 8]:
            if stands_for_many(self._forward[position]):
                break
            following.append(self._forward[position])
        for skipped in range(i, len(self._anchors)):
            operators = [self._network[k] for k in self._anchors[skipped : skipped + 8]]
            pairs = list(zip(following, operators, strict=False))
            if pairs and all(self._alike(event, operator) for event, operator in pairs):
                return skipped
        return None if following else len(self._anchors)

    def _holds(self, group: Sequence[Event], i: int, behind: int) -> bool:
        """Whether the graphs of a group can stand for these of the network's operators."""
        between = self._anchors[i:behind]
        beside = range(between[0], between[-1]) if between else ()
        graphs = [self._graphs[event] for event in group if event in self._graphs]
        found = compiled.difference(
            graphs,
            [self._network[k] for k in between],
            sum(base(self._network[k].name) in compiled.PRODUCTS for k in beside),
            sized=self._alike is alike,
        )
        if found is not None:
            self._differs(i + found.place, found.event, found.texts)
            return False
        attention = compiled.unlike_attention(graphs, [self._network[k] for k in beside])
        if attention is not None and self._alike is alike:
            self._unlike = attention
            return False
        return True

    def _differs(self, i: int, event: Event | None, texts: tuple[str, str] | None = None) -> None:
        if self._furthest is None or i > self._furthest[0]:
            self._furthest = i, self._start, event, texts

    @property
    def furthest(self) -> int | None:
        """The position in the trace at which the run begins that went furthest."""
        return None if self._furthest is None else self._text[self._furthest[1]]

    def difference(self, model: str, remedy: str) -> MismatchError:
        """The first difference of the run that went furthest."""
        if self._unlike is not None:
            unlike, own = self._unlike
            on = _on_input(unlike.name, unlike.shapes), _on_input(own.name, own.shapes)
            return unlike_operators(unlike, own, model, remedy, own.number - 1, on)
        if self._furthest is None:
            problem = "is not in the trace: it has no forward operators like its"
            return MismatchError(parameter("model", model), problem, remedy, 0)
        i, _, event, texts = self._furthest
        operator = self._network[self._anchors[i]]
        return unlike_operators(event, operator, model, remedy, i, texts)
