"""An expectation and what was found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation and what was found.

    Args:
        tolerance: largest absolute difference that still passes; 0 for exact figures.
        source: where the expectation comes from.
        reason: why the two part, when that is known; a known reason passes.
    """

    name: str
    expected: float
    actual: float
    tolerance: float = 0.0
    source: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return abs(self.actual - self.expected) <= self.tolerance or bool(self.reason)
