"""Which drawn node stands for each module call, once equal neighbours are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from archscope.records import Layer
from archscope.study.tree import Group
from archscope.wording import OWN_WORK, call_title

CallKey = tuple[str, int]
"""Name of a module, and which call of it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A container, or a run of equal ones, with the boxes around it.

    Args:
        name: of the (first) container.
        last: what is written behind the name of the first of several.
        times: how many there are.
        parent: index of the box around it, -1 for none.
    """

    name: str
    last: str
    times: int
    parent: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module call is drawn.

    Args:
        key: of the node: the call that stands for it and for its equals.
        layer: that call.
        opened: whether its children are drawn in its place.
        box: index of the innermost box around it.
        copies: which copy of each run of equal blocks around it, by run.
    """

    key: CallKey
    layer: Layer
    opened: bool
    box: int
    copies: tuple[tuple[int, int], ...]


@dataclass
class Folding:
    """Which node stands for each module call, once equal neighbours are one."""

    depth: int
    places: dict[CallKey, Place] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    runs: int = 0

    def visit(
        self, groups: Sequence[Group], level: int, box: int, copies: tuple[tuple[int, int], ...]
    ) -> None:
        for run in _equal_runs([group for group in groups if group.label != OWN_WORK]):
            self._run(run, level, box, copies)

    def _run(
        self, run: list[Group], level: int, box: int, copies: tuple[tuple[int, int], ...]
    ) -> None:
        first, times = run[0], len(run)
        opened = bool(first.children) and level < self.depth
        inside = box
        if level and (opened or times > 1):
            last = f" … {run[-1].label}" if times > 1 else ""
            inside = len(self.boxes)
            self.boxes.append(Box(short_name(first.layer), last, times, box))
        if times == 1:
            self._group(first, first, level, inside, copies, opened)
            return
        number, self.runs = self.runs, self.runs + 1
        for copy, group in enumerate(run):
            self._group(group, first, level, inside, (*copies, (number, copy)), opened)

    def _group(
        self, group: Group, first: Group, level: int, box: int,
        copies: tuple[tuple[int, int], ...], opened: bool,
    ) -> None:  # fmt: skip
        """Place a group on the nodes of an equal one, which may be itself."""
        here = self._placed(first.layer)
        if here is None:
            here = Place(call_key(first.layer), first.layer, opened, box, copies)
        self.places[call_key(group.layer)] = replace(here, copies=copies)
        if not opened:
            for member in below(group):
                self.places.setdefault(call_key(member), replace(here, copies=copies))
        elif group is first:
            self.visit(group.children, level + 1, box, copies)
        else:
            self._copy(group, first, copies)

    def _placed(self, layer: Layer) -> Place | None:
        return self.places.get(call_key(layer))

    def _copy(self, group: Group, first: Group, copies: tuple[tuple[int, int], ...]) -> None:
        """Calls inside a repeated block are drawn where those of the first one are."""
        for own, other in zip(below(group), below(first), strict=True):
            there = self.places.get(call_key(other))
            if there is not None:
                inner = there.copies[len(copies) :]
                self.places.setdefault(call_key(own), replace(there, copies=(*copies, *inner)))


def _equal_runs(groups: Sequence[Group]) -> list[list[Group]]:
    runs: list[list[Group]] = []
    for group in groups:
        if runs and group.children and runs[-1][-1].signature == group.signature:
            runs[-1].append(group)
        else:
            runs.append([group])
    return runs


def below(group: Group) -> Iterator[Layer]:
    for child in group.children:
        if child.label != OWN_WORK:
            yield child.layer
            yield from below(child)


def call_key(layer: Layer) -> CallKey:
    return layer.name, layer.call


def short_name(layer: Layer) -> str:
    return call_title(layer.name, layer.kind, layer.call)
