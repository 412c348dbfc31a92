"""How hard the attacks try, and what became of them."""

from __future__ import annotations

import os
from collections import Counter

FACTOR = int(os.environ.get("ARCHSCOPE_ATTACK_FACTOR", "1"))
"""How often each attack is tried; 1 takes a minute for all."""

FIGURES: dict[str, Counter[str]] = {}
"""By kind of attack, how many there were and what they broke."""


def noted(kind: str, tried: int, *, points_lost: int = 0, tracebacks: int = 0) -> None:
    """Add some attacks to the table that is printed at the end."""
    row = FIGURES.setdefault(kind, Counter())
    row.update({"tried": tried, "points lost": points_lost, "tracebacks": int(tracebacks)})


def table() -> list[str]:
    """The figures as lines of a Markdown table."""
    heads = ("tried", "points lost", "tracebacks")
    lines = [f"| Attack | {' | '.join(head.capitalize() for head in heads)} |", "|---|--:|--:|--:|"]
    for kind, row in sorted(FIGURES.items()):
        lines.append(f"| {kind} | {' | '.join(f'{row[head]:,}' for head in heads)} |")
    return lines
