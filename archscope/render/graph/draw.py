"""Diagram → figure: one drawing for PNG, SVG and PDF."""

from __future__ import annotations

import itertools
import textwrap
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from archscope import units
from archscope.diagram import Diagram, Node
from archscope.inert import printable
from archscope.render.drawable import drawable
from archscope.render.graph.layout import ASPECT, Layout, Line, Point, Rectangle, layout
from archscope.render.palette import LIGHT

INK = LIGHT.soft

PIXELS = 96.0
"""Pixels of the layout in an inch."""

TITLE_POINTS, DETAIL_POINTS = 7.6, 6.2
HEAD = 34.0
NOTE_HEIGHT = 15.0
ROUND = 7.0

COST = ((1.0, 1.0, 1.0), (0.72, 0.27, 0.02))
"""Colours of no cost and of all cost; the share's root runs between them."""

DARK = 0.6
"""Shares whose colour asks for white letters."""

SKIP = "#0072b2"


def drawn(diagram: Diagram, size: tuple[float, float] | None = None) -> Figure:
    """Draw a diagram at its natural size, or scaled into the size that is given, in inches."""
    placed = layout(diagram, ASPECT if size is None else size[0] / size[1])
    notes = [line for note in diagram.notes for line in _wrapped(note, placed.width)]
    height = placed.height + HEAD + NOTE_HEIGHT * len(notes) + 8
    width = max(placed.width, 330.0)
    scale = 1.0 if size is None else min(size[0] * PIXELS / width, size[1] * PIXELS / height)
    figure = Figure(figsize=(scale * width / PIXELS, scale * height / PIXELS), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    title = drawable(diagram.title, 90)
    axes.text(10, 20, title, fontsize=9.5 * scale, fontweight="bold", va="center")
    _Drawing(axes, diagram, placed, scale).draw()
    for place, note in enumerate(notes):
        y = placed.height + HEAD + NOTE_HEIGHT * (place + 0.5)
        points = (DETAIL_POINTS + 0.6) * scale
        axes.text(10, y, note, fontsize=points, va="center", color=INK)
    return figure


def _wrapped(note: str, width: float) -> list[str]:
    return textwrap.wrap(printable(note).replace("$", r"\$"), max(48, int(width / 5.4)))


MOVE, LINE, BEND, CURVE = (
    int(code) for code in (Path.MOVETO, Path.LINETO, Path.CURVE3, Path.CURVE4)
)


class _Drawing:
    def __init__(self, axes: Any, diagram: Diagram, placed: Layout, scale: float) -> None:
        self.axes, self.diagram, self.placed, self.scale = axes, diagram, placed, scale

    def draw(self) -> None:
        for cluster, box in zip(self.diagram.clusters, self.placed.clusters, strict=True):
            self._cluster(cluster.title, cluster.times, box)
        for line in self.placed.lines:
            self._line(line)
        for node, box in zip(self.diagram.nodes, self.placed.nodes, strict=True):
            self._node(node, box)

    def _box(self, box: Rectangle, points: float, **style: Any) -> None:
        shape = FancyBboxPatch(
            (box.x, box.y + HEAD), box.width, box.height, linewidth=points * self.scale,
            boxstyle="round,pad=0,rounding_size=4", **style,
        )  # fmt: skip
        self.axes.add_patch(shape)

    def _text(self, x: float, y: float, text: str, points: float, **style: Any) -> None:
        self.axes.text(x, y + HEAD, text, fontsize=points * self.scale, **{"va": "center", **style})

    def _cluster(self, title: str, times: int, box: Rectangle) -> None:
        repeats = times > 1
        self._box(
            box, 0.9 if repeats else 0.4, facecolor="#f4f5f7" if not repeats else "#fafafa",
            edgecolor="#8a8f98", linestyle="--" if repeats else "-",
        )  # fmt: skip
        count = f"×{times}" if repeats else ""
        aside = 13 + 8 * len(count) if repeats else 7
        if repeats:
            self._text(box.x + 7, box.y + 11, count, TITLE_POINTS + 1, fontweight="bold")
        shown = drawable(title, max(8, int((box.width - aside - 8) / 5.2)))
        self._text(box.x + aside, box.y + 11, shown, DETAIL_POINTS + 0.4, color=INK)

    def _node(self, node: Node, box: Rectangle) -> None:
        if node.family == "input":
            self._box(box, 0.8, facecolor="#ffffff", edgecolor=INK, linestyle=":")
        else:
            self._box(box, 0.6, facecolor=cost_color(node.share), edgecolor=INK)
        ink = "#ffffff" if node.share > DARK else "#000000"
        room = int(box.width / 5.6)
        cost = units.si(node.macs) if node.macs else ""
        x, upper, lower = box.x + 7, box.y + 13, box.y + 27
        title = drawable(node.title, room - len(cost))
        self._text(x, upper, title, TITLE_POINTS, color=ink, fontweight="bold")
        self._text(box.right - 7, upper, cost, TITLE_POINTS, color=ink, ha="right")
        spare = int(box.width / 4.4) - len(node.shape) - 2
        self._text(x, lower, drawable(node.detail, max(4, spare)), DETAIL_POINTS, color=ink)
        self._text(box.right - 7, lower, node.shape, DETAIL_POINTS, color=ink, ha="right")

    def _line(self, line: Line) -> None:
        points = [(x, y + HEAD) for x, y in line.points]
        path = Path(*(_rounded(points) if line.cornered else _curved(points)))
        color, width = SKIP if line.skips else INK, 0.9 * self.scale
        self.axes.add_patch(PathPatch(path, fill=False, edgecolor=color, linewidth=width))
        x1, y1 = points[-1]
        if line.skips:
            head = [(x1, y1), (x1 + 5, y1 - 2.6), (x1 + 5, y1 + 2.6)]
        else:
            head = [(x1, y1), (x1 - 2.6, y1 - 5), (x1 + 2.6, y1 - 5)]
        self.axes.fill(*zip(*head, strict=True), color=color, linewidth=0)


def _curved(points: list[Point]) -> tuple[list[Point], list[int]]:
    """A way that leaves and reaches every point vertically."""
    vertices, codes = [points[0]], [MOVE]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [CURVE] * 3
    return vertices, codes


def _rounded(points: list[Point]) -> tuple[list[Point], list[int]]:
    """A way whose corners are rounded."""
    vertices, codes = [points[0]], [MOVE]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [LINE, BEND, BEND]
    return [*vertices, points[-1]], [*codes, LINE]


def _towards(corner: Point, other: Point) -> Point:
    (x0, y0), (x1, y1) = corner, other
    distance = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    share = min(ROUND, distance / 2) / distance if distance else 0.0
    return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def cost_color(share: float) -> tuple[float, float, float]:
    """White without cost, darker with the root of the share."""
    depth = min(1.0, max(0.0, share)) ** 0.5
    none, every = COST
    red, green, blue = (a + (b - a) * depth for a, b in zip(none, every, strict=True))
    return red, green, blue
