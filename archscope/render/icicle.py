"""Icicle → figure: a network's modules with their widths to scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from archscope.diagram import Block, Icicle
from archscope.render import cells
from archscope.render.drawable import drawable
from archscope.render.palette import FAMILIES, LIGHT

WIDTH_INCHES = 6.8
ROW_INCHES = 0.26
MOST_ROWS = 6
LEAST_SHARE = 0.0015
"""Of the width; narrower blocks would be all edge."""

SHORTENED = 9
"""Characters from which on a name is shortened; in less room it would say nothing."""

POINTS = 7.0
LETTERS_AN_INCH = 15.5
TINT = 0.5
"""How much of its colour a block has; the rest is paper, so that its name is legible."""


class _Placed(NamedTuple):
    block: Block
    row: int
    x: float
    width: float


def icicle(drawing: Icicle, size: tuple[float, float] | None = None) -> Figure:
    """Draw a tree of modules, widths to scale, in order of execution."""
    width, height = size or (WIDTH_INCHES, 0.0)
    total = sum(block.amount for block in drawing.roots)
    placed = list(_placed(drawing.roots, 0, 0.0, 1.0 / total if total else 0.0))
    rows = 1 + max((each.row for each in placed), default=0)
    families = [name for name in FAMILIES if any(each.block.family == name for each in placed)]
    families = [name for name in families if name != "container"]
    figure = Figure(figsize=(width, height or ROW_INCHES * rows + 0.72), dpi=200)
    FigureCanvasAgg(figure)
    tall = figure.get_figheight()
    axes = figure.add_axes((0.015, 0.36 / tall, 0.97, (tall - 0.72) / tall))
    axes.set_xlim(0, 1)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    title = drawable(drawing.title, int(11.5 * width))
    figure.text(0.015, 1 - 0.2 / tall, title, fontsize=9.5, fontweight="bold", va="center")
    for each in placed:
        _block(axes, each, width, drawing.unit)
    _legend(figure, families, tall)
    return figure


def _placed(blocks: tuple[Block, ...], row: int, x: float, scale: float) -> Iterator[_Placed]:
    for block in blocks:
        width = block.amount * scale
        if width >= LEAST_SHARE and row < MOST_ROWS:
            yield _Placed(block, row, x, width)
            yield from _placed(block.children, row + 1, x, scale)
        x += width


def _block(axes: Any, placed: _Placed, inches: float, unit: str) -> None:
    block, row, x, width = placed
    shape = Rectangle(
        (x, row), width, 0.94, facecolor=_tinted(FAMILIES[block.family].light),
        edgecolor=LIGHT.paper, linewidth=0.6,
    )  # fmt: skip
    axes.add_patch(shape)
    room = int(width * inches * LETTERS_AN_INCH)
    amount = cells.cell_text(block.amount, unit)  # type: ignore[arg-type]
    name = drawable(block.label, 200)
    if room >= len(name) + len(amount) + 3:
        axes.text(x + width - 0.05 / inches, row + 0.5, amount, fontsize=POINTS, **_RIGHT)
    if room >= len(name) + 1:
        axes.text(x + 0.05 / inches, row + 0.5, name, fontsize=POINTS, **_LEFT)
    elif room >= SHORTENED:
        shown = drawable(block.label, room - 1)
        axes.text(x + 0.05 / inches, row + 0.5, shown, fontsize=POINTS, **_LEFT)


_LEFT: dict[str, Any] = {"ha": "left", "va": "center", "color": LIGHT.ink}
_RIGHT: dict[str, Any] = {"ha": "right", "va": "center", "color": LIGHT.soft}


def _tinted(color: str) -> tuple[float, float, float]:
    red, green, blue = (TINT * part + (1 - TINT) for part in to_rgb(color))
    return red, green, blue


def _legend(figure: Figure, families: list[str], tall: float) -> None:
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=_tinted(FAMILIES[name].light)) for name in families
    ]
    figure.legend(
        handles, families, loc="lower left", bbox_to_anchor=(0.005, 0.0), ncols=6, fontsize=POINTS,
        handlelength=1.0, handleheight=1.0, columnspacing=1.2,
    )  # fmt: skip
