"""The marks of each kind of chart, drawn into given axes.

Hatches, markers and dashes repeat the distinction of colours for print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from archscope.render.palette import Ground
from archscope.table import Chart, Series

HATCHES = ("", "///", "|||", "xxx", "\\\\\\", "---", "+++")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
POINT_POINTS = 42.0
BUBBLE_POINTS = 450
"""Areas of a plain marker and of the largest bubble, in square points."""


def categories(chart: Chart) -> list[float | str]:
    """Every x of every series, in order of appearance."""
    return list(dict.fromkeys(x for series in chart.series for x in series.x))


def is_categorical(chart: Chart) -> bool:
    return chart.kind in ("bars", "stacked") or any(
        isinstance(x, str) for series in chart.series for x in series.x
    )


def _positions(series: Series, chart: Chart) -> list[float]:
    """Where its points stand on the x axis: its numbers, or the places of its categories."""
    if not is_categorical(chart):
        return [float(x) for x in series.x]
    place = {category: float(index) for index, category in enumerate(categories(chart))}
    return [place[x] for x in series.x]


def heights(series: Series) -> list[float]:
    """Its values, NaN where there is none to draw."""
    return [
        math.nan if value is None or not math.isfinite(value) else float(value)
        for value in series.y
    ]


def tops(chart: Chart) -> list[float]:
    """How high the bars of a stacked chart reach."""
    if chart.kind != "stacked":
        return []
    reached = [0.0] * len(categories(chart))
    for series in chart.series:
        for place, value in zip(_positions(series, chart), heights(series), strict=True):
            reached[int(place)] += 0.0 if math.isnan(value) else value
    return reached


def _bars(axes: Any, chart: Chart, ground: Ground, scale: float) -> None:
    width = 0.82 / max(1, len(chart.series))
    for index, series in enumerate(chart.series):
        shift = (index - (len(chart.series) - 1) / 2) * width
        places = [position + shift for position in _positions(series, chart)]
        axes.bar(places, heights(series), width, label=series.name, **_fill(series, index, ground))
        _errors(axes, places, series, ground)


def _stacked(axes: Any, chart: Chart, ground: Ground, scale: float) -> None:
    tops = [0.0] * len(categories(chart))
    for index, series in enumerate(chart.series):
        places = _positions(series, chart)
        values = [0.0 if math.isnan(value) else value for value in heights(series)]
        bottoms = [tops[int(place)] for place in places]
        axes.bar(places, values, 0.7, bottom=bottoms, label=series.name,
                 **_fill(series, index, ground))  # fmt: skip
        for place, value in zip(places, values, strict=True):
            tops[int(place)] += value


def _fill(series: Series, index: int, ground: Ground) -> dict[str, Any]:
    return {
        "facecolor": ground.color(series.name, index),
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": ground.edge(series.name, index),
        "linewidth": 0.5,
    }


def _errors(axes: Any, places: list[float], series: Series, ground: Ground) -> None:
    """The interval of each value that has one."""
    for x, y, interval in zip(places, heights(series), series.errors, strict=False):
        if interval is not None and math.isfinite(y):
            below, above = y - interval[0], interval[1] - y
            axes.errorbar(
                x, y, [[max(0.0, below)], [max(0.0, above)]], fmt="none", ecolor=ground.ink,
                elinewidth=1.0, capsize=2.5, zorder=4,
            )  # fmt: skip


def _line(axes: Any, chart: Chart, ground: Ground, scale: float) -> None:
    for index, series in enumerate(chart.series):
        axes.plot(
            _positions(series, chart),
            heights(series),
            color=ground.color(series.name, index),
            ls=DASHES[index % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)] if _has_markers(series, chart) else "",
            ms=6 * scale,
            lw=1.6,
            label=series.name,
        )
        _errors(axes, _positions(series, chart), series, ground)


def _has_markers(series: Series, chart: Chart) -> bool:
    """Not where points crowd, nor on outlines."""
    return len(series.x) <= 60 and not chart.to_scale


def _area(axes: Any, chart: Chart, ground: Ground, scale: float) -> None:
    """Areas above each other: each reaches down to zero, behind those below it.

    An area then needs its upper edge alone, and of that only the places where it changes.
    """
    tops: dict[float, float] = {}
    for index, series in enumerate(chart.series):
        places = _positions(series, chart)
        values = [0.0 if math.isnan(value) else value for value in heights(series)]
        for place, value in zip(places, values, strict=True):
            tops[place] = tops.get(place, 0.0) + value
        edge = _corners([(place, tops[place]) for place in places])
        axes.fill_between(
            [place for place, _ in edge], 0.0, [top for _, top in edge], step="post",
            label=series.name, linewidth=0.3, facecolor=ground.color(series.name, index),
            edgecolor=ground.paper, zorder=1.0 - 0.01 * index,
        )  # fmt: skip
    axes.margins(x=0)


def _corners(edge: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A stepped edge without the points at which its height stays, but for the last."""
    last = len(edge) - 1
    return [
        point
        for index, point in enumerate(edge)
        if index in (0, last) or point[1] != edge[index - 1][1]
    ]


def _scatter(axes: Any, chart: Chart, ground: Ground, scale: float) -> None:
    for index, series in enumerate(chart.series):
        columns = (_areas(series, chart, scale), _positions(series, chart), heights(series))
        large_first = sorted(zip(*columns, strict=True), key=lambda mark: -mark[0])
        areas, xs, ys = zip(*large_first, strict=True) if large_first else ((), (), ())
        axes.scatter(
            xs,
            ys,
            s=areas,
            color=ground.color(series.name, index),
            marker=MARKERS[index % len(MARKERS)],
            alpha=0.75 if series.sizes else 1.0,
            edgecolors=ground.soft,
            linewidths=0.6,
            label="" if series.labels == (series.name,) else series.name,
            zorder=3,
        )
    front = sorted((x, y) for x, y, _, name in points(chart, scale) if name in chart.frontier)
    if front:
        axes.plot(
            [x for x, _ in front],
            [y for _, y in front],
            color=ground.soft,
            ls="--",
            lw=1.1,
            zorder=2,
            label="Pareto front",
        )
    axes.margins(0.1)


def _areas(series: Series, chart: Chart, scale: float) -> list[float]:
    """Marker areas in square points; bubbles of all series share one scale."""
    if not series.sizes:
        return [POINT_POINTS * scale**2] * len(series.x)
    largest = max(size for other in chart.series for size in other.sizes) or 1.0
    return [scale**2 * max(14.0, BUBBLE_POINTS * size / largest) for size in series.sizes]


def points(chart: Chart, scale: float) -> list[tuple[float, float, float, str]]:
    """Every drawn point: x, y, marker radius in points, name."""
    found = []
    for series in chart.series:
        names = series.labels or (series.name,) * len(series.x)
        columns = (_positions(series, chart), series.y, _areas(series, chart, scale), names)
        found += [
            (x, float(y), math.sqrt(area) / 2, name)
            for x, y, area, name in zip(*columns, strict=True)
            if y is not None and math.isfinite(y)
        ]
    return found


DRAW: dict[str, Callable[[Any, Chart, Ground, float], None]] = {
    "bars": _bars,
    "stacked": _stacked,
    "line": _line,
    "area": _area,
    "scatter": _scatter,
}
