"""A graph without cycles in layers: ranks, order within a rank, and places across.

The method is that of Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of
hierarchical system structures", as layered drawings have had it since, but for edges that skip: one
beside which another path leads to the same end, such as a residual, takes no part in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

Edge = tuple[int, int]

INFINITE = float("inf")

SWEEPS = 8
"""Passes down and up; orders and places of graphs of this size settle in fewer."""


def split_skips(count: int, edges: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """Edges that are the only path between their ends, and those beside another path.

    Args:
        count: of the nodes, in an order in which every edge leads onwards.
        edges: pairs of places in that order.
    """
    after: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        after[start].append(end)
    reached = [0] * count  # by node: the nodes that it leads to, itself included, as bits
    direct: list[Edge] = []
    skips: list[Edge] = []
    for start in reversed(range(count)):
        reached[start] = 1 << start
        for end in sorted(after[start]):
            (skips if reached[start] >> end & 1 else direct).append((start, end))
            reached[start] |= reached[end]
    return sorted(direct), sorted(skips)


def ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """The longest way to each node; one that nothing leads to stands right before its reader."""
    rank = [0] * count
    for start, end in sorted(edges):
        rank[end] = max(rank[end], rank[start] + 1)
    led_to = {end for _, end in edges}
    for node in range(1, count):
        users = [rank[end] for start, end in edges if start == node]
        if node not in led_to and users:
            rank[node] = max(0, min(users) - 1)
    return rank


class Layers:
    """Nodes by rank with a waypoint wherever an edge passes a rank.

    Args:
        rank: of each node.
        edges: that take part.

    Waypoints follow the nodes in numbering; `paths` has the nodes and waypoints of each edge.
    """

    def __init__(self, rank: Sequence[int], edges: Sequence[Edge]) -> None:
        self.rank = list(rank)
        self.count = len(rank)
        self.paths: dict[Edge, list[int]] = {}
        for start, end in edges:
            between = range(rank[start] + 1, rank[end])
            waypoints = [len(self.rank) + place for place in range(len(between))]
            self.rank += between
            self.paths[start, end] = [start, *waypoints, end]
        self.rows: list[list[int]] = [[] for _ in range(max(self.rank, default=0) + 1)]
        for node, row in enumerate(self.rank):
            self.rows[row].append(node)
        self.above: list[list[int]] = [[] for _ in self.rank]
        self.below: list[list[int]] = [[] for _ in self.rank]
        for path in self.paths.values():
            for upper, lower in itertools.pairwise(path):
                self.below[upper].append(lower)
                self.above[lower].append(upper)
        self._order()

    def _order(self) -> None:
        """Order each rank by the middle of its neighbours, downwards and upwards in turns."""
        for sweep in range(SWEEPS):
            rows = self.rows if sweep % 2 == 0 else self.rows[::-1]
            neighbours = self.above if sweep % 2 == 0 else self.below
            place = {node: index for row in self.rows for index, node in enumerate(row)}
            for row in rows:
                row.sort(key=lambda node: _middle(neighbours[node], place, place[node]))
                place.update({node: index for index, node in enumerate(row)})

    def across(self, width: float, gap: float, waypoint: float) -> list[float]:
        """The middle of every node and waypoint, near its neighbours and apart from the others.

        Args:
            width: of a node.
            gap: between two nodes of a rank.
            waypoint: width that an edge takes where it passes a rank.
        """
        sizes = [width if node < self.count else waypoint for node in range(len(self.rank))]
        straight = _Columns(self, self._chains(), sizes, gap)
        columns = straight if straight.can_stand else _Columns(
            self, list(range(len(self.rank))), sizes, gap
        )  # fmt: skip
        return columns.places()

    def _chains(self) -> list[int]:
        """The first node of the chain that each is part of: its links are the only ones."""
        first = list(range(len(self.rank)))
        for row in self.rows:
            for node in row:
                if len(self.above[node]) == 1 and len(self.below[self.above[node][0]]) == 1:
                    first[node] = first[self.above[node][0]]
        return first


class _Columns:
    """Chains as straight columns that keep their distances in every rank.

    Args:
        layers: in order.
        column: of each node and waypoint: the number of any one in it.
        sizes: width of each.
        gap: between two.
    """

    def __init__(
        self, layers: Layers, column: Sequence[int], sizes: Sequence[float], gap: float
    ) -> None:
        self.layers, self.column = layers, column
        self.right_of: dict[int, dict[int, float]] = {each: {} for each in dict.fromkeys(column)}
        self.left_of: dict[int, dict[int, float]] = {each: {} for each in dict.fromkeys(column)}
        for row in layers.rows:
            for left, right in itertools.pairwise(row):
                need = (sizes[left] + sizes[right]) / 2 + gap
                a, b = column[left], column[right]
                self.right_of[a][b] = max(need, self.right_of[a].get(b, 0.0))
                self.left_of[b][a] = max(need, self.left_of[b].get(a, 0.0))
        self.order = self._sorted()

    @property
    def can_stand(self) -> bool:
        """Whether no two columns stand left of each other."""
        return len(self.order) == len(self.right_of)

    def _sorted(self) -> list[int]:
        """The columns from left to right, as far as that is possible."""
        waiting = {each: len(others) for each, others in self.left_of.items()}
        free = [each for each, number in waiting.items() if not number]
        order: list[int] = []
        while free:
            here = free.pop()
            order.append(here)
            for other in self.right_of[here]:
                waiting[other] -= 1
                if not waiting[other]:
                    free.append(other)
        return order

    def places(self) -> list[float]:
        """Each column as near to what it is linked with as its neighbours let it."""
        x = dict.fromkeys(self.order, 0.0)
        for each in self.order:
            x[each] = max(
                (x[left] + need for left, need in self.left_of[each].items()), default=0.0
            )
        links = self._links()
        for sweep in range(4 * SWEEPS):
            for each in self.order if sweep % 2 else self.order[::-1]:
                if links[each]:
                    wanted = sum(x[other] for other in links[each]) / len(links[each])
                    x[each] = self._allowed(each, wanted, x)
        return [x[column] for column in self.column]

    def _allowed(self, each: int, wanted: float, x: dict[int, float]) -> float:
        low = max((x[o] + need for o, need in self.left_of[each].items()), default=-INFINITE)
        high = min((x[o] - need for o, need in self.right_of[each].items()), default=INFINITE)
        return max(low, min(high, wanted))

    def _links(self) -> dict[int, list[int]]:
        links: dict[int, list[int]] = {each: [] for each in self.order}
        for node, neighbours in enumerate(self.layers.below):
            for other in neighbours:
                a, b = self.column[node], self.column[other]
                if a != b:
                    links[a].append(b)
                    links[b].append(a)
        return links


def _middle(neighbours: Sequence[int], place: dict[int, int], own: int) -> float:
    if not neighbours:
        return float(own)
    return sum(place[node] for node in neighbours) / len(neighbours)
