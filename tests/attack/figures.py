"""How hard the attacks try, and what became of them."""

from __future__ import annotations

import os
from collections import Counter

VARIABLE = "ARCHSCOPE_ATTACK_FACTOR"
FACTOR = int(os.environ.get(VARIABLE, "1"))
"""How often each attack is tried; 1 takes less than a minute for all."""

HEADS = ("tried", "ran code", "points lost", "tracebacks", "children left")

FIGURES: dict[str, Counter[str]] = {}
"""By kind of attack, how many there were and what they broke."""


def noted(
    kind: str,
    tried: int,
    *,
    ran_code: int = 0,
    points_lost: int = 0,
    tracebacks: int = 0,
    children_left: int = 0,
) -> None:
    """Add some attacks to the table that is printed at the end."""
    row = FIGURES.setdefault(kind, Counter())
    values = (tried, int(ran_code), points_lost, int(tracebacks), children_left)
    row.update(dict(zip(HEADS, values, strict=True)))


def table() -> list[str]:
    """The figures as lines of a Markdown table."""
    heads = " | ".join(head.capitalize() for head in HEADS)
    lines = [f"| Attack | {heads} |", "|---" + "|--:" * len(HEADS) + "|"]
    for kind, row in sorted(FIGURES.items()):
        lines.append(f"| {kind} | {' | '.join(f'{row[head]:,}' for head in HEADS)} |")
    return lines
