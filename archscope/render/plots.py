"""Chart → figure: matplotlib without pyplot, so nothing global is left behind.

The same chart always gives the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure

from archscope.diagram import Diagram, Icicle
from archscope.render import axes as sides
from archscope.render import labels, marks
from archscope.render.compact import compact
from archscope.render.drawable import FONT, drawable
from archscope.render.palette import EITHER, LIGHT, Ground, chosen_where_shown
from archscope.table import Chart

WIDTH_INCHES = 6.8
HEIGHT_INCHES = 4.0
DPI = 200
LABEL_POINTS = 9

_STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "svg.hashsalt": "archscope",
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "archscope"},
    "pdf": {"CreationDate": None, "Creator": "archscope", "Producer": None},
}

Size = tuple[float, float]
"""Width and height of one chart, in inches."""


def image(charts: Sequence[Chart], kind: str, size: Size | None = None) -> bytes:
    """Draw charts in a grid.

    Args:
        charts: at least one.
        kind: `png`, `svg` or `pdf`.
        size: of each chart; what it needs when `None`.
    """
    with _style(LIGHT, _scale(size)):
        return _saved(_drawn(list(map(_cleaned, charts)), size, LIGHT), kind)


def adaptive_image(chart: Chart) -> str:
    """Draw one chart as an SVG image in the colours of the page around it, light or dark."""
    with _style(EITHER, 1.0):
        svg = _saved(_drawn([_cleaned(chart)], None, EITHER), "svg").decode()
    return chosen_where_shown(compact(svg))


def drawing_image(drawing: Diagram | Icicle, kind: str, size: Size | None = None) -> bytes:
    """Draw a network's graph, or its tree of modules; the arguments are those of `image`."""
    from archscope.render.graph.draw import drawn
    from archscope.render.icicle import icicle

    with _style(LIGHT, 1.0):
        made = drawn(drawing, size) if isinstance(drawing, Diagram) else icicle(drawing, size)
        return _saved(made, kind)


def _saved(drawn: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    drawn.savefig(stream, format=kind, dpi="figure", metadata=_METADATA[kind])
    return _numbered(stream.getvalue()) if kind == "svg" else stream.getvalue()


def _numbered(svg: bytes) -> bytes:
    """The same drawing with its definitions numbered as they are used.

    Matplotlib names them by a hash of their exact sides, whose last bits depend on the order in
    which its layout solver happens to meet its constraints: one figure, many files. So does the
    sign of a 0, and so would places halfway between two millionths of a point: they are written to
    a hundredth, in which a curve takes half the bytes, too.
    """
    svg = re.sub(
        rb' (?:d|x|y|width|height)="[^"]*"|translate\([^)]*\)',
        lambda match: _LONG.sub(_rounded, match[0]),
        svg,
    )
    svg = re.sub(rb"(?<=[ ,(])-0(?=[ ,)\n])", b"0", svg)
    found = re.findall(rb"url\(#([a-z][0-9a-f]{10})\)", svg)
    numbers = {name: b"clip%d" % n for n, name in enumerate(dict.fromkeys(found), 1)}
    return re.sub(rb"\b[a-z][0-9a-f]{10}\b", lambda match: numbers.get(match[0], match[0]), svg)


_LONG = re.compile(rb"-?\d+\.\d{3,}")


def _rounded(number: re.Match[bytes]) -> bytes:
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()


def figure(charts: Sequence[Chart], size: Size | None = None) -> Figure:
    """Draw charts in a grid as a matplotlib figure."""
    with _style(LIGHT, _scale(size)):
        return _drawn(list(map(_cleaned, charts)), size, LIGHT)


SMALLEST_SCALE = 0.74
"""Of letters, in a figure for a column of a paper: about seven points."""


def _scale(size: Size | None) -> float:
    """How large letters and bubbles are beside those of a figure of the usual width."""
    return 1.0 if size is None else max(SMALLEST_SCALE, min(1.0, size[0] / WIDTH_INCHES))


@contextlib.contextmanager
def _style(ground: Ground, scale: float) -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's settings are, and theirs afterwards."""
    letters = {key: scale * value for key, value in _STYLE.items() if key.endswith("size")}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams.update(letters)
        matplotlib.rcParams.update(ground.style())
        yield


def grid(count: int) -> tuple[int, int]:
    """Rows and columns for this many charts: one below another, from three on side by side.

    Those of a last row that is not full share its width; where their size is given they are in the
    middle of it.
    """
    columns = 1 if count <= 2 else 2 if count <= 4 else 3
    return math.ceil(count / columns), columns


def _drawn(charts: list[Chart], size: Size | None, ground: Ground) -> Figure:
    rows, columns = grid(len(charts))
    width = columns * (WIDTH_INCHES if size is None else size[0])
    lines = [charts[start : start + columns] for start in range(0, len(charts), columns)]
    places = [columns if size else len(line) for line in lines]
    made = [[_Panel(chart, size, ground, width / across) for chart in line]
            for line, across in zip(lines, places, strict=True)]  # fmt: skip
    heights = [max(panel.height for panel in line) for line in made]
    sheet = Figure(figsize=(width, sum(heights)), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    fine = 2 * columns if size else math.lcm(*places)
    spec = sheet.add_gridspec(rows, fine, left=0, right=1, bottom=0, top=1, height_ratios=heights)
    for row, (line, across) in enumerate(zip(made, places, strict=True)):
        step = fine // across
        first = (fine - step * len(line)) // 2
        for start, panel in zip(range(first, fine, step), line, strict=False):
            panel.draw(sheet.add_subfigure(spec[row, start : start + step]))
    panels = [panel for line in made for panel in line]
    sheet.draw_without_rendering()
    if sum(panel.fold_height_title() for panel in panels):
        sheet.draw_without_rendering()
    sheet.set_layout_engine("none")  # texts placed from here on must find the axes where they are
    for axes in (panel.axes for panel in panels):
        axes.set_position([round(side, 9) for side in axes.get_position().bounds])
    for panel in panels:
        if panel.chart.kind == "scatter":
            panel.label_points(canvas.get_renderer())  # type: ignore[no-untyped-call]
    return sheet


class _Panel:
    """One chart in its part of a figure.

    Args:
        chart: with drawable texts.
        size: of the part, in inches; what the chart needs when `None`. A chart of a given size has
            no notes: its caption stands elsewhere.
        ground: what stands behind it.
        width: of the part, in inches.
    """

    def __init__(self, chart: Chart, size: Size | None, ground: Ground, width: float) -> None:
        self.chart, self.ground, self.scale = chart, ground, _scale(size)
        self.width = width
        notes = chart.notes if size is None else ()
        self.notes = [line for note in notes for line in textwrap.wrap(note, self._letters(14.4))]
        self.title = textwrap.wrap(chart.title, self._letters(10.0))
        self.height = self._needed_height() if size is None else size[1]
        self.points = LABEL_POINTS * self.scale

    def _letters(self, an_inch: float) -> int:
        return max(12, int(an_inch * self.width / self.scale))

    def _needed_height(self) -> float:
        entries = len(self.chart.series) + len(self.chart.lines) + bool(self.chart.frontier)
        rows = math.ceil(entries / self._legend_columns())
        named = 0.8 * any(series.labels for series in self.chart.series)
        titles = 0.17 * max(0, len(self.title) - 1)
        return HEIGHT_INCHES + named + titles + 0.2 * rows + self._notes_height()

    def _notes_height(self) -> float:
        return 0.1 + 0.165 * len(self.notes) if self.notes else 0.0

    def draw(self, part: SubFigure) -> None:
        """Draw everything but the names of points."""
        chart, ground = self.chart, self.ground
        if self.notes:
            ratios = [self.height - self._notes_height(), self._notes_height()]
            part, below = part.subfigures(2, 1, height_ratios=ratios, squeeze=False)[:, 0]
            below.text(0.01, 0.9, "\n".join(self.notes), va="top", fontsize=9, color=ground.soft)
        self.axes: Any = part.subplots()
        part.suptitle(
            "\n".join(self.title), x=0.01, ha="left", fontsize=11 * self.scale, fontweight="bold"
        )
        if chart.kind == "scatter" or chart.marks:
            self.axes.set_title(" ", loc="right", fontsize=self.points)  # room above the frame
        sides.scale(self.axes, chart)
        marks.DRAW[chart.kind](self.axes, chart, ground, self.scale)
        for index, line in enumerate(chart.lines):
            dash = marks.DASHES[(index + 1) % len(marks.DASHES)]
            self.axes.plot(
                line.x, marks.heights(line), color=ground.soft, ls=dash, lw=1.2, label=line.name
            )
        if not any(value is not None for series in chart.series for value in series.y):
            self.axes.text(0.5, 0.5, "no data", transform=self.axes.transAxes, ha="center")
        sides.finish(self.axes, chart, ground, self.width / self.scale)
        self._marks()
        self._legend(part)

    def fold_height_title(self) -> bool:
        """Break the title of the heights into lines where it is longer than its axis."""
        label = self.axes.yaxis.label
        room = self.axes.get_window_extent().height / label.get_window_extent().height
        if room >= 1:
            return False
        text = label.get_text()
        label.set_text("\n".join(textwrap.wrap(text, max(12, int(room * len(text))))))
        return True

    def _marks(self) -> None:
        """Named places: where something begins as a line, with its name above; points."""
        high = max(self.axes.get_xlim())
        begins = [mark for mark in self.chart.marks if mark.y is None]
        ends = [*(mark.x for mark in begins[1:]), high]
        for mark, end in zip(begins, ends, strict=False):
            self.axes.axvline(mark.x, color=self.ground.ink, lw=0.8, ls=(0, (3, 2)))
            room = (
                (end - mark.x) / (high - min(self.axes.get_xlim())) * self.width * 12 / self.scale
            )
            if room > len(mark.label):
                place = self.axes.get_xaxis_transform()
                self.axes.text(
                    mark.x, 1.015, f" {mark.label}", transform=place, fontsize=self.points
                )
        for mark in self.chart.marks:
            if mark.y is not None:
                self._point(mark.x, mark.y, mark.label)

    def _point(self, x: float, y: float, label: str) -> None:
        low, high = self.axes.get_xlim()
        right = x > low + 0.62 * (high - low)
        self.axes.plot(
            [x], [y], "o", ms=5, mfc=self.ground.paper, mec=self.ground.ink, mew=1.4, zorder=5
        )
        self.axes.annotate(
            label, (x, y), textcoords="offset points", xytext=(-7 if right else 7, 5),
            ha="right" if right else "left", fontsize=self.points, zorder=6,
            bbox={"boxstyle": "round,pad=0.15", "fc": self.ground.paper, "ec": "none"},
        )  # fmt: skip
        self.axes.set_ylim(0, max(self.axes.get_ylim()[1], 1.2 * y))

    def _legend_columns(self) -> int:
        names = [series.name for series in (*self.chart.series, *self.chart.lines)]
        longest = max(map(len, names), default=1)
        room = self._letters(13.0) // (longest + 8)
        return max(1, min(len(names) + bool(self.chart.frontier), room))

    def _legend(self, part: SubFigure) -> None:
        handles, names = self.axes.get_legend_handles_labels()
        if len(names) > 1 or self.chart.frontier:
            columns = self._legend_columns()
            legend = part.legend(handles, names, loc="outside lower center", ncols=columns)
            for handle in legend.legend_handles:
                if isinstance(handle, PathCollection):
                    handle.set_sizes([marks.POINT_POINTS])

    def label_points(self, renderer: Any) -> None:
        """Name the points so that no name covers another or a marker.

        Those of the front come first, then the larger ones; one with an empty name has no label.
        """
        chart = self.chart
        if not any(series.labels for series in chart.series):
            return
        scale = DPI / 72
        points = sorted(
            marks.points(chart, self.scale),
            key=lambda point: (point[3] not in chart.frontier, -point[2]),
        )
        texts, waiting, unnamed = [], [], []
        for x, y, radius, name in points:
            left, up = self.axes.transData.transform((x, y))
            if not name:
                unnamed.append(labels.Label(left, up, radius * scale, 0.0, 0.0))
                continue
            text = self.axes.text(0, 0, name, fontsize=self.points, in_layout=False)
            extent = text.get_window_extent(renderer)
            texts.append(text)
            waiting.append(labels.Label(left, up, radius * scale, extent.width, extent.height))
        frame = self.axes.get_window_extent(renderer)
        box = labels.Box(frame.x0, frame.y0, frame.x1, frame.y1)
        gap = 3 * scale
        places = labels.placed(waiting, box, gap, _strokes(self.axes), unnamed)
        for text, label, place in zip(texts, waiting, places, strict=True):
            if place is None:
                text.remove()
            else:
                self._settle(text, label, place, gap)
        if None in places:
            count = f"{places.count(None)} of {len(places)} names left out"
            self.axes.set_title(count, loc="right", fontsize=self.points, color=self.ground.soft)

    def _settle(self, text: Any, label: labels.Label, place: labels.Box, gap: float) -> None:
        """Move a text to its place, with a leader line when that is not beside its marker."""
        axes = self.axes
        inverse = axes.transAxes.inverted()
        text.set(transform=axes.transAxes, va="bottom", ha="left", zorder=4)
        text.set_position(inverse.transform((place.left, place.bottom)))
        if labels.needs_leader(place, label, gap):
            ends = [(label.x, label.y), labels.anchor(place, label)]
            (x0, y0), (x1, y1) = inverse.transform(ends)
            axes.plot(
                [x0, x1], [y0, y1], transform=axes.transAxes, color=self.ground.soft, lw=0.5,
                zorder=2.5,
            )  # fmt: skip


def _strokes(axes: Any) -> list[tuple[float, float]]:
    """Pixels along every line drawn so far."""
    found = []
    for line in axes.get_lines():
        ends = line.get_transform().transform(line.get_xydata())
        for (x0, y0), (x1, y1) in itertools.pairwise(ends):
            steps = max(1, int(math.dist((x0, y0), (x1, y1)) // 8))
            shares = [step / steps for step in range(steps + 1)]
            found += [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in shares]
    return found


def _cleaned(chart: Chart) -> Chart:
    """The same chart with texts that can be drawn."""
    name, title, note = (partial(drawable, longest=length) for length in (36, 160, 1000))
    return dataclasses.replace(
        chart,
        title=title(chart.title),
        x=dataclasses.replace(chart.x, title=drawable(chart.x.title, 70)),
        y=dataclasses.replace(chart.y, title=drawable(chart.y.title, 50)),
        series=tuple(
            dataclasses.replace(
                series, name=name(series.name), labels=tuple(map(name, series.labels))
            )
            for series in chart.series
        ),
        frontier=tuple(map(name, chart.frontier)),
        lines=tuple(dataclasses.replace(line, name=name(line.name)) for line in chart.lines),
        marks=tuple(
            dataclasses.replace(mark, label=drawable(mark.label, 60)) for mark in chart.marks
        ),
        notes=tuple(map(note, chart.notes)),
    )
