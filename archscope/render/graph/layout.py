"""Diagram → boxes and lines in pixels, for every format alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from archscope.diagram import Diagram, Node
from archscope.render.graph.layers import Edge, Layers, ranks, split_skips

NODE_HEIGHT = 38.0
RANK_GAP = 24.0
NODE_GAP = 18.0
LANE = 9.0
"""Between two lines of skipping edges."""
LANE_GAP = 14.0
WAYPOINT = 10.0
PAD = 10.0
"""Between a box and what it holds."""
TITLE = 17.0
"""Height of a box's title."""
COLUMN_GAP = 46.0
LETTER = 6.9
"""Width of a letter of a title, generously."""
NARROWEST, WIDEST = 96.0, 236.0
ASPECT = 1.45
"""Width over height of a drawing on its own, for a paper or a screen."""
TALL = 900.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Line:
    """An edge as a way with corners.

    Args:
        points: from the node that makes the tensor to the one that reads it.
        skips: whether another path leads to the same end.
        cornered: whether it runs straight between its points, or swings from one to the next.
    """

    points: tuple[Point, ...]
    skips: bool = False
    cornered: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands; all places are from the upper left corner, downwards."""

    width: float
    height: float
    nodes: tuple[Rectangle, ...]
    clusters: tuple[Rectangle, ...]
    lines: tuple[Line, ...]


def layout(diagram: Diagram, aspect: float = ASPECT) -> Layout:
    """Place a diagram in layers from top to bottom, wrapped into columns where it is long.

    Args:
        diagram: the nodes and what flows between them.
        aspect: width over height that a drawing taller than `TALL` is wrapped to.
    """
    count = len(diagram.nodes)
    direct, skips = split_skips(count, diagram.edges)
    rank = ranks(count, direct)
    return _Placing(diagram, Layers(rank, direct), skips, aspect).result()


class _Placing:
    def __init__(
        self, diagram: Diagram, layers: Layers, skips: Sequence[Edge], aspect: float
    ) -> None:
        self.diagram, self.layers, self.skips, self.aspect = diagram, layers, skips, aspect
        self.rank = layers.rank[: layers.count]
        self.width = min(WIDEST, max([NARROWEST, *map(_needed_width, diagram.nodes)]))
        middles = layers.across(self.width, NODE_GAP, WAYPOINT)
        self.middles = [x - min(middles, default=0.0) for x in middles]
        self.depths = [_depth(diagram, index) for index in range(len(diagram.clusters))]
        self.tops = self._tops()
        self.lanes = self._lanes()
        self.starts = self._wrapped()

    # Down

    def _tops(self) -> list[float]:
        """The upper edge of each rank, with room where boxes begin and end."""
        first, last = self._cluster_ranks()
        tops: list[float] = []
        y = 0.0
        for row in range(len(self.layers.rows)):
            y += sum(TITLE + PAD for each in first if each == row)
            tops.append(y)
            y += NODE_HEIGHT + RANK_GAP + sum(PAD for each in last if each == row)
        return tops

    def _cluster_ranks(self) -> tuple[list[int], list[int]]:
        spans = [self._ranks_of(index) for index in range(len(self.diagram.clusters))]
        return [min(span) for span in spans], [max(span) for span in spans]

    def _ranks_of(self, cluster: int) -> list[int]:
        return [self.rank[node] for node in self._members(cluster)] or [0]

    def _members(self, cluster: int) -> list[int]:
        return [
            index
            for index, node in enumerate(self.diagram.nodes)
            if cluster in _around(self.diagram, node.cluster)
        ]

    # Lanes of skipping edges, one for all edges of one source, to the right of what they pass

    def _lanes(self) -> dict[int, float]:
        reach: dict[int, int] = {}
        for start, end in self.skips:
            reach[start] = max(reach.get(start, 0), self.rank[end])
        placed: list[tuple[int, int, float]] = []
        lanes: dict[int, float] = {}
        for start in sorted(reach, key=lambda node: (reach[node] - self.rank[node], node)):
            top, bottom = self.rank[start], reach[start]
            x = self._right_end(top, bottom) + LANE_GAP
            for first, last, other in sorted(placed, key=lambda lane: lane[2]):
                if first < bottom and top < last and x < other + LANE and x > other - LANE:
                    x = other + LANE
            placed.append((top, bottom, x))
            lanes[start] = x
        return lanes

    def _right_end(self, first: int, last: int) -> float:
        """How far nodes and waypoints reach within these ranks."""
        ends = [
            self.middles[node] + (self.width / 2 if node < self.layers.count else WAYPOINT / 2)
            for row in self.layers.rows[first : last + 1]
            for node in row
        ]
        return max(ends)

    # Columns

    def _wrapped(self) -> list[int]:
        """The first rank of each column."""
        height = self.tops[-1] + NODE_HEIGHT
        wide = (
            max([self._right_end(0, len(self.layers.rows) - 1), *self.lanes.values()]) + COLUMN_GAP
        )
        columns = max(1, round((self.aspect * height / wide) ** 0.5)) if height > TALL else 1
        starts = [0]
        for column in range(1, columns):
            ideal = height * column / columns
            free = [cut for cut in self._cuts() if cut > starts[-1]]
            best = min(free, key=lambda cut: abs(self.tops[cut] - ideal), default=None)
            if best is not None and abs(self.tops[best] - ideal) < 0.6 * height / columns:
                starts.append(best)
        return starts

    def _cuts(self) -> list[int]:
        """Ranks before which one node's tensor alone passes, and that part no box."""
        spans = [self._ranks_of(index) for index in range(len(self.diagram.clusters))]
        return [
            row
            for row in range(1, len(self.layers.rows))
            if len({a for a, b in self.diagram.edges if self.rank[a] < row <= self.rank[b]}) == 1
            and not any(min(span) < row <= max(span) for span in spans)
        ]

    def _column(self, row: int) -> int:
        return max(index for index, start in enumerate(self.starts) if start <= row)

    # All together

    def result(self) -> Layout:
        self.lefts, self.lifts = self._column_places()
        nodes = tuple(self._node(index) for index in range(self.layers.count))
        boxes = tuple(self._box(index, nodes) for index in range(len(self.diagram.clusters)))
        lines = tuple(self._line(edge, nodes) for edge in self.diagram.edges)
        ends = [*nodes, *boxes]
        xs = [x for line in lines for x, _ in line.points]
        right = max([*(box.right for box in ends), *xs], default=0.0)
        bottom = max((box.bottom for box in ends), default=0.0)
        left = min((box.x for box in ends), default=0.0)
        top = min([*(box.y for box in ends), *(y for line in lines for _, y in line.points)])
        return _moved(Layout(right, bottom, nodes, boxes, lines), PAD - left, PAD - top)

    def _column_places(self) -> tuple[list[float], list[float]]:
        """What is added to places across in each column, and taken from those down."""
        ends = [*self.starts[1:], len(self.layers.rows)]
        lefts, lifts, x = [], [], 0.0
        deepest = max(self.depths, default=0)
        self.gutters: list[float] = []
        for start, end in zip(self.starts, ends, strict=True):
            used = [self.middles[n] for row in self.layers.rows[start:end] for n in row]
            low = min(used) - self.width / 2
            lanes = [lane for node, lane in self.lanes.items() if start <= self.rank[node] < end]
            high = max([self._right_end(start, end - 1), *lanes])
            self.gutters.append(x - PAD * deepest - COLUMN_GAP / 2)
            lefts.append(x - low)
            lifts.append(self.tops[start] - self._headroom(start))
            x += high - low + COLUMN_GAP + 2 * PAD * deepest
        return lefts, lifts

    def _headroom(self, row: int) -> float:
        first, _ = self._cluster_ranks()
        return sum(TITLE + PAD for each in first if each == row)

    def _at(self, node: int) -> Point:
        """The middle of the upper edge of a node or waypoint."""
        row = self.layers.rank[node]
        column = self._column(row)
        return self.middles[node] + self.lefts[column], self.tops[row] - self.lifts[column]

    def _node(self, index: int) -> Rectangle:
        x, y = self._at(index)
        return Rectangle(x - self.width / 2, y, self.width, NODE_HEIGHT)

    def _box(self, cluster: int, nodes: Sequence[Rectangle]) -> Rectangle:
        """Around its nodes, and the lanes of the edges between them."""
        members = self._members(cluster)
        inside = set(members)
        height = max(self._heights(cluster))
        pad = PAD * (1 + height)
        rights = [nodes[index].right for index in members]
        rights += [
            self.lanes[a] + self.lefts[self._column(self.rank[a])]
            for a, b in self.skips
            if a in inside
            and b in inside
            and self._column(self.rank[a]) == self._column(self.rank[b])
        ]
        left = min(nodes[index].x for index in members) - pad
        top = (
            min(nodes[index].y for index in members)
            - (PAD + TITLE) * self._levels_above(cluster)
            - 6
        )
        bottom = max(nodes[index].bottom for index in members) + PAD * (1 + height) - 2
        return Rectangle(left, top, max(rights) + pad - left, bottom - top)

    def _heights(self, cluster: int) -> Iterator[int]:
        """How many boxes are inside one another below this one."""
        yield 0
        for index, other in enumerate(self.diagram.clusters):
            if other.parent == cluster:
                yield 1 + max(self._heights(index))

    def _levels_above(self, cluster: int) -> float:
        """Titles between the upper edge of a box and its first node."""
        first = min(self._ranks_of(cluster))
        inside = [
            index
            for index in range(len(self.diagram.clusters))
            if cluster in _around(self.diagram, index) and min(self._ranks_of(index)) == first
        ]
        return float(max(self.depths[index] for index in inside) - self.depths[cluster] + 1) - 0.25

    def _line(self, edge: Edge, nodes: Sequence[Rectangle]) -> Line:
        start, end = edge
        columns = self._column(self.rank[start]), self._column(self.rank[end])
        if columns[0] != columns[1]:
            return Line(self._between_columns(edge, nodes[start], nodes[end]))
        if edge in self.layers.paths:
            return Line(tuple(self._straight(self.layers.paths[edge], nodes)), cornered=False)
        lane = self.lanes[start] + self.lefts[columns[0]]
        one, other = nodes[start], nodes[end]
        out, into = one.bottom - 9, other.y + 9
        return Line(((one.right, out), (lane, out), (lane, into), (other.right, into)), skips=True)

    def _straight(self, path: Sequence[int], nodes: Sequence[Rectangle]) -> Iterator[Point]:
        first, last = nodes[path[0]], nodes[path[-1]]
        yield first.x + first.width / 2, first.bottom
        for waypoint in path[1:-1]:
            x, y = self._at(waypoint)
            yield x, y
            yield x, y + NODE_HEIGHT
        yield last.x + last.width / 2, last.y

    def _between_columns(self, edge: Edge, one: Rectangle, other: Rectangle) -> tuple[Point, ...]:
        """Out below, up between the columns, and in from above or from the left."""
        column = self._column(self.rank[edge[1]])
        between = self.gutters[column]
        start, down = one.x + one.width / 2, one.bottom + RANK_GAP / 2
        way = (start, one.bottom), (start, down), (between, down)
        if self.rank[edge[1]] > self.starts[column]:
            into = other.y + other.height / 2
            return *way, (between, into), (other.x, into)
        top = min(self._at(node)[1] for node in self.layers.rows[self.starts[column]])
        up = top - self._headroom(self.starts[column]) - RANK_GAP / 2
        end = other.x + other.width / 2
        return *way, (between, up), (end, up), (end, other.y)


def _needed_width(node: Node) -> float:
    upper = len(node.title) + 6  # with what it costs
    lower = 0.85 * (len(node.detail) + len(node.shape) + 3)  # in smaller letters
    return LETTER * max(upper, lower) + 14


def _around(diagram: Diagram, cluster: int) -> list[int]:
    """A cluster and those around it."""
    found = []
    while cluster >= 0:
        found.append(cluster)
        cluster = diagram.clusters[cluster].parent
    return found


def _depth(diagram: Diagram, cluster: int) -> int:
    return len(_around(diagram, cluster))


def _moved(given: Layout, x: float, y: float) -> Layout:
    def box(each: Rectangle) -> Rectangle:
        return Rectangle(each.x + x, each.y + y, each.width, each.height)

    lines = tuple(
        replace(line, points=tuple((px + x, py + y) for px, py in line.points))
        for line in given.lines
    )
    return Layout(
        given.width + x + PAD,
        given.height + y + PAD,
        tuple(map(box, given.nodes)),
        tuple(map(box, given.clusters)),
        lines,
    )
