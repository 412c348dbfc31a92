"""What an operator without a formula does to a count: how it is told, and what helps."""

from __future__ import annotations

from archscope.records import Coverage

REMEDY = "give one with archscope.register_formula"
UNCOUNTED = f"runs here and has no formula: {REMEDY}."

BOUNDED = frozenset({"macs", "macs_ratio", "macs_backward", "elementwise"})
"""The keys of what it makes a lower bound; shapes, bytes and parameters stay exact."""

MOST_LAYERS = 3
"""How many of the layers where such operators ran are named."""


def gap(coverage: Coverage) -> str:
    """The operators without a formula and where they ran: `ns::op in fc`; empty for none."""
    if coverage.complete:
        return ""
    names = [name or "the network itself" for name in coverage.unknown_layers]
    more = f" and {len(names) - MOST_LAYERS} more" if len(names) > MOST_LAYERS else ""
    where = f" in {', '.join(names[:MOST_LAYERS])}{more}" if names else ""
    return f"{', '.join(coverage.unknown)}{where}"


def note(missing: str) -> str:
    """The sentence below a table where `≥` stands, for what `gap` returned."""
    return f"≥ marks a lower bound, since {missing} has no formula: {REMEDY}."
