"""Chart → figure: matplotlib without pyplot, so nothing global is left behind.

The same chart always gives the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import findfont, get_font

from archscope.diagram import Diagram
from archscope.inert import printable
from archscope.render import cells, labels, marks, ticks
from archscope.table import Axis, Chart

WIDTH_INCHES = 6.8
HEIGHT_INCHES = 4.0
DPI = 200
LABEL_POINTS = 9
AXIS_CHARACTERS = 72
"""Characters of tick text that fit side by side below the axes."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
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


def image(charts: Sequence[Chart], kind: str) -> bytes:
    """Draw charts below one another; `kind` is `png`, `svg` or `pdf`."""
    with _style():
        return _saved(figure(charts), kind)


def diagram_image(diagram: Diagram, kind: str) -> bytes:
    """Draw a network's modules and the tensors between them; `kind` as for `image`."""
    from archscope.render.graph.draw import drawn

    with _style():
        return _saved(drawn(diagram), kind)


def _saved(drawn: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    drawn.savefig(stream, format=kind, dpi="figure", metadata=_METADATA[kind])
    return stream.getvalue()


def figure(charts: Sequence[Chart]) -> Figure:
    """Draw charts below one another as a matplotlib figure."""
    with _style():
        return _drawn([_cleaned(chart) for chart in charts])


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's settings are, and theirs afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def _drawn(charts: Sequence[Chart]) -> Figure:
    whole = Figure(figsize=(WIDTH_INCHES, sum(map(_height, charts))), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(whole)
    heights = [_height(chart) for chart in charts]
    parts = whole.subfigures(len(charts), 1, height_ratios=heights, squeeze=False)
    waiting = [_panel(part, chart) for part, chart in zip(parts[:, 0], charts, strict=True)]
    whole.draw_without_rendering()
    whole.set_layout_engine("none")  # texts placed from here on must find the axes where they are
    for axes, chart in zip(waiting, charts, strict=True):
        if chart.kind == "scatter":
            _label_points(axes, chart, canvas.get_renderer())  # type: ignore[no-untyped-call]
    return whole


def _height(chart: Chart) -> float:
    entries = len(chart.series) + len(chart.lines) + bool(chart.frontier)
    rows = math.ceil(entries / _legend_columns(chart))
    named = 0.8 * any(series.labels for series in chart.series)
    return HEIGHT_INCHES + named + 0.2 * rows + _notes_height(chart)


def _panel(part: SubFigure, chart: Chart) -> Any:
    """Draw one chart into its part of the figure; returns the axes."""
    notes = _note_lines(chart)
    if notes:
        ratios = [_height(chart) - _notes_height(chart), _notes_height(chart)]
        part, below = part.subfigures(2, 1, height_ratios=ratios, squeeze=False)[:, 0]
        below.text(0.01, 0.9, "\n".join(notes), va="top", fontsize=9, color=marks.INK)
    axes = part.subplots()
    title = "\n".join(textwrap.wrap(chart.title, 68))
    part.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if chart.kind == "scatter":
        axes.set_title(" ", loc="right", fontsize=LABEL_POINTS)  # room to count names left out
    _scale(axes, chart)
    marks.DRAW[chart.kind](axes, chart)
    for index, line in enumerate(chart.lines):
        dash = marks.DASHES[(index + 1) % len(marks.DASHES)]
        axes.plot(line.x, marks.heights(line), color=marks.INK, ls=dash, lw=1.2, label=line.name)
    if not any(value is not None for series in chart.series for value in series.y):
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center")
    _finish(axes, chart)
    _legend(part, axes, chart)
    return axes


def _notes_height(chart: Chart) -> float:
    lines = len(_note_lines(chart))
    return 0.1 + 0.165 * lines if lines else 0.0


def _scale(axes: Any, chart: Chart) -> None:
    if chart.x.log and chart.kind not in ("bars", "stacked"):
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    if chart.to_scale:
        axes.set_aspect("equal")


def _note_lines(chart: Chart) -> list[str]:
    return [line for note in chart.notes for line in textwrap.wrap(note, 98)]


def _finish(axes: Any, chart: Chart) -> None:
    """Limits, ticks and axis titles."""
    heights = [value for series in chart.series for value in marks.heights(series)]
    values = [value for value in heights if math.isfinite(value)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    # Times stand beside other times, so that all of them begin at zero.
    from_zero = chart.y.unit == "seconds" or low < 0.5 * high
    if values and not chart.y.log and low >= 0 and from_zero:
        axes.set_ylim(0, max(axes.get_ylim()[1], (1 + axes.margins()[1]) * high))
    axes.set_xlabel(_axis_title(chart.x))
    axes.set_ylabel(_axis_title(chart.y))
    low, high = axes.get_ylim()
    _set_ticks(axes.yaxis, chart.y, low, high)
    if marks.is_categorical(chart):
        _name_categories(axes, chart)
        return
    exact = sorted({float(x) for series in chart.series for x in series.x})
    low, high = axes.get_xlim()
    if chart.x.log and chart.kind == "line" and len(exact) <= ticks.TICKS + 2:
        axes.set_xticks(exact, ticks.tick_texts(exact, chart.x.unit))
        axes.set_xticks([], minor=True)
    else:
        _set_ticks(axes.xaxis, chart.x, low, high)
    axes.set_xlim(low, high)


def _set_ticks(side: Any, axis: Axis, low: float, high: float) -> None:
    find = ticks.log_ticks if axis.log else ticks.linear_ticks
    values = find(low, high, axis.unit)
    side.set_ticks(values, ticks.tick_texts(values, axis.unit))
    if axis.log:
        side.set_ticks([], minor=True)


def _axis_title(axis: Axis) -> str:
    title = "MACs" if axis.unit == "macs" and not axis.title else axis.title
    return f"{title} (MACs)" if axis.unit == "macs" and "MAC" not in title.upper() else title


def _name_categories(axes: Any, chart: Chart) -> None:
    found = marks.categories(chart)
    numbers = [x for x in found if not isinstance(x, str)]
    written = dict(zip(numbers, ticks.tick_texts(numbers, chart.x.unit), strict=True))
    names = [_shown(x, 26) if isinstance(x, str) else written[x] for x in found]
    room = max(1, AXIS_CHARACTERS // max(1, len(names)))
    folded = ["\n".join(textwrap.wrap(name, room, break_long_words=False)) for name in names]
    if max((len(line) for name in folded for line in name.split("\n")), default=0) <= room:
        axes.set_xticks(range(len(names)), folded)
    else:
        angle = 90 if len(names) > 24 else 35
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", rotation=angle, length=3)
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.grid(False, axis="x")


def _legend_columns(chart: Chart) -> int:
    names = [series.name for series in (*chart.series, *chart.lines)]
    longest = max(map(len, names), default=1)
    return max(1, min(len(names) + bool(chart.frontier), 88 // (longest + 8)))


def _legend(part: SubFigure, axes: Any, chart: Chart) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        columns = _legend_columns(chart)
        legend = part.legend(handles, names, loc="outside lower center", ncols=columns)
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([marks.POINT_POINTS])


def _label_points(axes: Any, chart: Chart, renderer: Any) -> None:
    """Name the points so that no name covers another or a marker.

    Those of the front come first, then the larger ones; a point with an empty name has no label.
    """
    if not any(series.labels for series in chart.series):
        return
    scale = DPI / 72
    points = sorted(
        marks.points(chart), key=lambda point: (point[3] not in chart.frontier, -point[2])
    )
    texts, waiting, unnamed = [], [], []
    for x, y, radius, name in points:
        left, up = axes.transData.transform((x, y))
        if not name:
            unnamed.append(labels.Label(left, up, radius * scale, 0.0, 0.0))
            continue
        text = axes.text(0, 0, name, fontsize=LABEL_POINTS, in_layout=False)
        extent = text.get_window_extent(renderer)
        texts.append(text)
        waiting.append(labels.Label(left, up, radius * scale, extent.width, extent.height))
    frame = axes.get_window_extent(renderer)
    box = labels.Box(frame.x0, frame.y0, frame.x1, frame.y1)
    gap = 3 * scale
    places = labels.placed(waiting, box, gap, _strokes(axes), unnamed)
    for text, label, place in zip(texts, waiting, places, strict=True):
        if place is None:
            text.remove()
        else:
            _settle(axes, text, label, place, gap)
    if None in places:
        count = f"{places.count(None)} of {len(places)} names left out"
        axes.set_title(count, loc="right", fontsize=LABEL_POINTS, color=marks.INK)


def _strokes(axes: Any) -> list[tuple[float, float]]:
    """Pixels along every line drawn so far."""
    found = []
    for line in axes.get_lines():
        ends = axes.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in itertools.pairwise(ends):
            steps = max(1, int(math.dist((x0, y0), (x1, y1)) // 8))
            shares = [step / steps for step in range(steps + 1)]
            found += [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in shares]
    return found


def _settle(axes: Any, text: Any, label: labels.Label, place: labels.Box, gap: float) -> None:
    """Move a text to its place, with a leader line when that is not beside its marker."""
    inverse = axes.transAxes.inverted()
    text.set(transform=axes.transAxes, va="bottom", ha="left", zorder=4)
    text.set_position(inverse.transform((place.left, place.bottom)))
    if labels.needs_leader(place, label, gap):
        ends = [(label.x, label.y), labels.anchor(place, label)]
        (x0, y0), (x1, y1) = inverse.transform(ends)
        axes.plot([x0, x1], [y0, y1], transform=axes.transAxes, color=marks.INK, lw=0.5, zorder=2.5)


def _cleaned(chart: Chart) -> Chart:
    """The same chart with texts that matplotlib draws as they are, cut to what a figure holds."""
    name, title, note = (partial(_shown, longest=length) for length in (36, 160, 1000))
    return dataclasses.replace(
        chart,
        title=title(chart.title),
        x=dataclasses.replace(chart.x, title=_shown(chart.x.title, 70)),
        y=dataclasses.replace(chart.y, title=_shown(chart.y.title, 50)),
        series=tuple(
            dataclasses.replace(
                series, name=name(series.name), labels=tuple(map(name, series.labels))
            )
            for series in chart.series
        ),
        frontier=tuple(map(name, chart.frontier)),
        lines=tuple(dataclasses.replace(line, name=name(line.name)) for line in chart.lines),
        notes=tuple(map(note, chart.notes)),
    )


def _shown(text: str, longest: int) -> str:
    """No formula, no character that the font lacks, no leading `_`, which hides from legends."""
    known = "".join(c if _has_glyph(c) else "□" for c in printable(text))
    safe = cells.shortened(known, longest).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe


@cache
def _has_glyph(character: str) -> bool:
    return bool(get_font(findfont("DejaVu Sans")).get_char_index(ord(character)))
