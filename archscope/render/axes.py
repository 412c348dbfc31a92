"""Limits, ticks and titles of a chart's axes."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from archscope.render import marks, ticks
from archscope.render.drawable import drawable
from archscope.render.palette import Ground
from archscope.table import Axis, Chart, Unit

CHARACTERS_AN_INCH = 10.6
"""Characters of tick text that fit side by side below an inch of axes."""

AMOUNTS: frozenset[Unit] = frozenset({"macs", "count", "exact", "bytes", "seconds"})
"""Units of what there can be none of: such axes begin at zero, or show that they do not."""

FROM_ZERO: frozenset[str] = frozenset({"bars", "stacked", "area", "line"})
"""Kinds of charts whose heights are amounts, not places."""

NEARLY_ZERO = 0.05
"""An axis that begins at a smaller share of its end is as true as one that begins at zero."""

SHOWN = 30
"""Characters of a category."""


def scale(axes: Any, chart: Chart) -> None:
    """Set logarithms, directions and proportions, before anything is drawn."""
    if chart.x.log and chart.kind not in ("bars", "stacked"):
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    if chart.to_scale:
        axes.set_aspect("equal")


def finish(axes: Any, chart: Chart, ground: Ground, width: float) -> None:
    """Set limits, ticks and titles once everything is drawn."""
    _limit(axes, chart)
    axes.set_xlabel(title_of(chart.x))
    axes.set_ylabel(title_of(chart.y))
    low, high = axes.get_ylim()
    _set_ticks(axes.yaxis, chart.y, low, high)
    _break(axes, chart, ground)
    if chart.y.downwards:
        axes.invert_yaxis()
    if marks.is_categorical(chart):
        _name_categories(axes, chart, width)
        return
    exact = sorted({float(x) for series in chart.series for x in series.x})
    low, high = axes.get_xlim()
    if chart.x.log and chart.kind == "line" and len(exact) <= ticks.TICKS + 2:
        axes.set_xticks(exact, ticks.tick_texts(exact, chart.x.unit))
        axes.set_xticks([], minor=True)
    else:
        _set_ticks(axes.xaxis, chart.x, low, high)
    axes.set_xlim(low, high)


def _limit(axes: Any, chart: Chart) -> None:
    """Begin at zero where heights are amounts, or where the values nearly reach down to it."""
    heights = [value for series in chart.series for value in marks.heights(series)]
    heights += [high for series in chart.series for each in series.errors if each for high in each]
    heights += marks.tops(chart)
    values = [value for value in heights if math.isfinite(value)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    amounts = chart.y.unit in AMOUNTS and chart.kind in FROM_ZERO
    if values and not chart.y.log and low >= 0 and (amounts or low < 0.5 * high):
        axes.set_ylim(0, max(axes.get_ylim()[1], (1 + axes.margins()[1]) * high))


def _break(axes: Any, chart: Chart, ground: Ground) -> None:
    """Two strokes where a linear axis of amounts or shares does not begin at zero."""
    stroke = {
        "transform": axes.transAxes, "clip_on": False, "color": ground.ink, "linestyle": "none",
        "markersize": 7, "mew": 1.0,
    }  # fmt: skip
    slanted = [(-1, -0.5), (1, 0.5)]
    upright = [(-0.5, -1), (0.5, 1)]
    if _is_broken(chart.y, axes.get_ylim()):
        axes.plot([0, 0], [0.03, 0.055], marker=slanted, **stroke)
    if not marks.is_categorical(chart) and _is_broken(chart.x, axes.get_xlim()):
        axes.plot([0.02, 0.035], [0, 0], marker=upright, **stroke)


def _is_broken(axis: Axis, limits: tuple[float, float]) -> bool:
    measured = axis.unit in AMOUNTS or axis.unit == "percent"
    return measured and not axis.log and min(limits) > NEARLY_ZERO * max(limits)


def _set_ticks(side: Any, axis: Axis, low: float, high: float) -> None:
    find = ticks.log_ticks if axis.log else ticks.linear_ticks
    values = find(low, high, axis.unit)
    side.set_ticks(values, ticks.tick_texts(values, axis.unit))
    if axis.log:
        side.set_ticks([], minor=True)


def title_of(axis: Axis) -> str:
    """The axis' title, with its unit where the ticks do not show it."""
    title = "MACs" if axis.unit == "macs" and not axis.title else axis.title
    return f"{title} (MACs)" if axis.unit == "macs" and "MAC" not in title.upper() else title


def _name_categories(axes: Any, chart: Chart, width: float) -> None:
    found = marks.categories(chart)
    numbers = [x for x in found if not isinstance(x, str)]
    written = dict(zip(numbers, ticks.tick_texts(numbers, chart.x.unit), strict=True))
    names = [drawable(x, SHOWN) if isinstance(x, str) else written[x] for x in found]
    room = max(1, int(CHARACTERS_AN_INCH * width) // max(1, len(names)))
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
