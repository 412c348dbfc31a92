"""What a colour means, the same in every figure and on every page, on light and dark ground.

Colours of things without a meaning of their own are Okabe and Ito's (2008), safe for colour-blind
readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Color(NamedTuple):
    """One meaning on light and on dark ground."""

    light: str
    dark: str


FAMILIES = {
    "convolution": Color("#2f7fc1", "#3f8fd0"),
    "grouped convolution": Color("#28a3a3", "#28a3a3"),
    "depthwise convolution": Color("#59a14f", "#59a14f"),
    "linear": Color("#d5732a", "#d5732a"),
    "attention": Color("#c2559b", "#c2559b"),
    "recurrent": Color("#8467c2", "#8467c2"),
    "normalisation": Color("#d9a514", "#d9a514"),
    "activation": Color("#8f9a2b", "#a3ae3c"),
    "pooling": Color("#8a8f98", "#8a8f98"),
    "embedding": Color("#b07a58", "#b07a58"),
    "other work": Color("#a3a7ae", "#a3a7ae"),
    "container": Color("#c9cdd3", "#4a505a"),
}
"""By family of layers."""

BYTES = {
    "Parameters": Color("#2f7fc1", "#3f8fd0"),
    "Buffers": Color("#8a8f98", "#8a8f98"),
    "Optimiser state": Color("#8467c2", "#8467c2"),
    "Input": Color("#59a14f", "#59a14f"),
    "Gradients": Color("#d5732a", "#d5732a"),
    "Saved activations": Color("#d9a514", "#d9a514"),
    "Temporary": Color("#b3b9c2", "#6b717b"),
    "Rounding of each tensor": Color("#7d6b57", "#a8937c"),
    "Allowance": Color("#e6e8ec", "#2f343c"),
}
"""By kind of what is alive in memory."""

PHASES = {
    "forward": Color("#0072b2", "#56b4e9"),
    "backward": Color("#e69f00", "#e69f00"),
    "accumulation": Color("#009e73", "#2fc49b"),
    "recompute": Color("#cc79a7", "#cc79a7"),
    "optimizer": Color("#d55e00", "#f07f2a"),
    "other": Color("#8a8f98", "#8a8f98"),
}
"""By part of a step."""

MEANINGS = {**FAMILIES, **BYTES, **PHASES}

SERIES = (
    Color("#0072b2", "#56b4e9"), Color("#e69f00", "#e69f00"), Color("#009e73", "#2fc49b"),
    Color("#d55e00", "#f07f2a"), Color("#cc79a7", "#cc79a7"), Color("#56b4e9", "#8fd0f5"),
    Color("#f0e442", "#f0e442"), Color("#000000", "#ffffff"),
)  # fmt: skip
"""Of networks and all else, by place."""


PAPER = Color("#ffffff", "#14161a")
INK = Color("#000000", "#e7e6e2")
SOFT = Color("#333333", "#c0c3c9")
GRID = Color("#dddddd", "#343941")
EDGE = Color(SOFT.light, PAPER.dark)
"""Around filled marks; of black ones on white, where it would not be seen, that of the paper."""

EVERY = tuple(dict.fromkeys((PAPER, INK, SOFT, GRID, EDGE, *MEANINGS.values(), *SERIES)))


class Ground(NamedTuple):
    """What stands behind a figure: which of two colours it takes.

    Args:
        pick: the colour as matplotlib takes it.
    """

    pick: Callable[[Color], str]

    @property
    def paper(self) -> str:
        return self.pick(PAPER)

    @property
    def ink(self) -> str:
        return self.pick(INK)

    @property
    def soft(self) -> str:
        return self.pick(SOFT)

    def color(self, name: str, place: int) -> str:
        """The colour of a meaning, or of the place where the name has none."""
        return self.pick(self._meant(name, place))

    def edge(self, name: str, place: int) -> str:
        """The colour around what is filled with `color`."""
        black = self._meant(name, place).light == INK.light
        return self.pick(PAPER if black else EDGE)

    @staticmethod
    def _meant(name: str, place: int) -> Color:
        return MEANINGS.get(name, SERIES[place % len(SERIES)])

    def style(self) -> dict[Any, Any]:
        """Settings of matplotlib."""
        return {
            "figure.facecolor": self.paper,
            "savefig.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "text.color": self.ink,
            "axes.labelcolor": self.ink,
            "axes.edgecolor": self.ink,
            "axes.titlecolor": self.ink,
            "xtick.color": self.ink,
            "ytick.color": self.ink,
            "grid.color": self.pick(GRID),
        }


def _number(color: Color) -> str:
    """A colour that nothing else has, by which both of it are found again."""
    return f"#a7c3{EVERY.index(color):02x}"


LIGHT = Ground(lambda color: color.light)
EITHER = Ground(_number)
"""For a drawing whose colours are chosen where it is shown; see `chosen_where_shown`."""


def chosen_where_shown(svg: str) -> str:
    """Let an SVG image drawn on `EITHER` take the colours of the page around it."""
    svg = re.sub(r'fill="(#[0-9a-f]{6})"', r'style="fill:\1"', svg)  # attributes have no var()
    used = [(n, color) for n, color in enumerate(EVERY) if _number(color) in svg]
    for number, color in used:
        svg = svg.replace(_number(color), f"var(--c{number})")
    light, dark = (
        "".join(f"--c{number}:{color[place]};" for number, color in used) for place in (0, 1)
    )
    style = f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return svg.replace("</style>", f"{style}</style>", 1)
