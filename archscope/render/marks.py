"""The marks of each kind of chart, drawn into given axes.

Colours are Okabe and Ito's (2008), safe for colour-blind readers; hatches, markers and dashes
repeat the distinction for print.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from archscope.table import Chart, Series

COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000",
)  # fmt: skip
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "---", "ooo")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK = "#333333"
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


def _bars(axes: Any, chart: Chart) -> None:
    width = 0.82 / max(1, len(chart.series))
    for index, series in enumerate(chart.series):
        shift = (index - (len(chart.series) - 1) / 2) * width
        places = [position + shift for position in _positions(series, chart)]
        axes.bar(places, heights(series), width, label=series.name, **_fill(index))


def _stacked(axes: Any, chart: Chart) -> None:
    tops = [0.0] * len(categories(chart))
    for index, series in enumerate(chart.series):
        places = _positions(series, chart)
        values = [0.0 if math.isnan(value) else value for value in heights(series)]
        bottoms = [tops[int(place)] for place in places]
        axes.bar(places, values, 0.7, bottom=bottoms, label=series.name, **_fill(index))
        for place, value in zip(places, values, strict=True):
            tops[int(place)] += value


def _fill(index: int) -> dict[str, Any]:
    return {
        "facecolor": COLORS[index % len(COLORS)],
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": "#ffffff" if COLORS[index % len(COLORS)] == "#000000" else INK,
        "linewidth": 0.5,
    }


def _line(axes: Any, chart: Chart) -> None:
    for index, series in enumerate(chart.series):
        axes.plot(
            _positions(series, chart),
            heights(series),
            color=COLORS[index % len(COLORS)],
            ls=DASHES[index % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)] if len(series.x) <= 60 else "",
            ms=6,
            lw=1.6,
            label=series.name,
        )


def _area(axes: Any, chart: Chart) -> None:
    tops: dict[float, float] = {}
    for index, series in enumerate(chart.series):
        places = _positions(series, chart)
        values = [0.0 if math.isnan(value) else value for value in heights(series)]
        bottoms = [tops.get(place, 0.0) for place in places]
        sums = [bottom + value for bottom, value in zip(bottoms, values, strict=True)]
        axes.fill_between(places, bottoms, sums, label=series.name, **_fill(index))
        tops.update(zip(places, sums, strict=True))
    axes.margins(x=0)


def _scatter(axes: Any, chart: Chart) -> None:
    for index, series in enumerate(chart.series):
        columns = (_areas(series, chart), _positions(series, chart), heights(series))
        large_first = sorted(zip(*columns, strict=True), key=lambda mark: -mark[0])
        areas, xs, ys = zip(*large_first, strict=True) if large_first else ((), (), ())
        axes.scatter(
            xs,
            ys,
            s=areas,
            color=COLORS[index % len(COLORS)],
            marker=MARKERS[index % len(MARKERS)],
            alpha=0.75 if series.sizes else 1.0,
            edgecolors=INK,
            linewidths=0.6,
            label=series.name,
            zorder=3,
        )
    front = sorted((x, y) for x, y, _, name in points(chart) if name in chart.frontier)
    if front:
        axes.plot(
            [x for x, _ in front],
            [y for _, y in front],
            color=INK,
            ls="--",
            lw=1.1,
            zorder=2,
            label="Pareto front",
        )
    axes.margins(0.1)


def _areas(series: Series, chart: Chart) -> list[float]:
    """Marker areas in square points; bubbles of all series share one scale."""
    if not series.sizes:
        return [POINT_POINTS] * len(series.x)
    largest = max(size for other in chart.series for size in other.sizes) or 1.0
    return [max(14.0, BUBBLE_POINTS * size / largest) for size in series.sizes]


def points(chart: Chart) -> list[tuple[float, float, float, str]]:
    """Every drawn point: x, y, marker radius in points, name."""
    found = []
    for series in chart.series:
        names = series.labels or (series.name,) * len(series.x)
        columns = (_positions(series, chart), series.y, _areas(series, chart), names)
        found += [
            (x, float(y), math.sqrt(area) / 2, name)
            for x, y, area, name in zip(*columns, strict=True)
            if y is not None and math.isfinite(y)
        ]
    return found


DRAW: dict[str, Callable[[Any, Chart], None]] = {
    "bars": _bars,
    "stacked": _stacked,
    "line": _line,
    "area": _area,
    "scatter": _scatter,
}
