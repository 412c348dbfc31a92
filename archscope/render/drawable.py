"""Texts that matplotlib draws as they are, cut to what a figure holds."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import findfont, get_font

from archscope.inert import printable
from archscope.render import cells

FONT = "DejaVu Sans"


def drawable(text: str, longest: int) -> str:
    """No formula, no character that the font lacks, no leading `_`, which hides from legends."""
    known = "".join(c if _has_glyph(c) else "□" for c in printable(text))
    safe = cells.shortened(known, longest).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe


@cache
def _has_glyph(character: str) -> bool:
    return bool(get_font(findfont(FONT)).get_char_index(ord(character)))
