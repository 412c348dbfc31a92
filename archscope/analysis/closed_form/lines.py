"""A whole-number function of one size → c·⌊(a·x + b)/s⌋ + d, and exact linear systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from archscope.analysis.closed_form.polynomial import Polynomial

LARGEST_DIVISOR = 1024


@dataclass(frozen=True)
class Line:
    """step·⌊(multiplier·x + offset)/divisor⌋ + shift.

    Args:
        query: a value modulo the divisor that would halve the choice of offsets, if any is left.
    """

    step: int
    multiplier: int
    offset: int
    divisor: int
    shift: int
    query: int | None

    def atom(self, symbol: str) -> Polynomial:
        """The part that varies, without step and shift."""
        if self.divisor == 1:
            return Polynomial.floor(symbol)
        return Polynomial.floor(symbol, self.multiplier, self.offset, self.divisor)

    def form(self, symbol: str) -> Polynomial:
        floor = Polynomial.floor(symbol, self.multiplier, self.offset, self.divisor)
        return floor * self.step + Polynomial.constant(self.shift)


def fit_line(pairs: Sequence[tuple[int, int]]) -> Line | None:
    """Fit c·⌊(a·x + b)/s⌋ + d to pairs of x and value, the smallest s that the slope allows."""
    (x0, v0), (x1, v1) = min(pairs), max(pairs)
    if x0 == x1:
        return None
    step = gcd(*(value - v0 for _, value in pairs))
    if not step or v1 < v0:
        return None
    shift = v0 % step if step > 1 else 0
    reduced = [(x, (value - shift) // step) for x, value in pairs]
    slope = Fraction(v1 - v0, step * (x1 - x0))
    start = (v0 - shift) // step
    if any(abs(value - start - slope * (x - x0)) >= 2 for x, value in reduced):
        return None  # a floor stays within one step of its straight line at both ends
    for candidate in _slopes(slope, x1 - x0):
        offsets = _offsets(reduced, candidate)
        if offsets:
            return _line(step, shift, candidate, offsets)
    return None


def _slopes(measured: Fraction, distance: int) -> Iterator[Fraction]:
    """The measured slope, then all within one step over the distance, 1/s first."""
    if measured.denominator <= LARGEST_DIVISOR:
        yield measured
    error = Fraction(1, distance)
    yield from (s for s in _near(measured, error) if s.numerator == 1)
    yield from (s for s in _near(measured, error) if s.numerator > 1)


def _near(measured: Fraction, error: Fraction) -> Iterator[Fraction]:
    for divisor in range(1, LARGEST_DIVISOR + 1):
        low = -((-(measured - error) * divisor).__floor__())
        for multiplier in range(max(1, low - 1), ((measured + error) * divisor).__floor__() + 1):
            if gcd(multiplier, divisor) == 1:
                yield Fraction(multiplier, divisor)


def _offsets(pairs: Sequence[tuple[int, int]], slope: Fraction) -> range:
    """Every b for which ⌊(a·x + b)/s⌋ is the value of all pairs."""
    a, s = slope.numerator, slope.denominator
    low = max(s * value - a * x for x, value in pairs)
    high = min(s * value - a * x for x, value in pairs) + s - 1
    return range(low, high + 1)


def _line(step: int, shift: int, slope: Fraction, offsets: range) -> Line:
    """The largest offset still possible, and where to look to halve the choice."""
    a, s = slope.numerator, slope.denominator
    query = None
    if len(offsets) > 1:
        middle = offsets[len(offsets) // 2]
        query = -middle * pow(a, -1, s) % s
    return Line(step, a, offsets[-1], s, shift, query)


PRIME = 2**61 - 1
"""Elimination runs modulo a prime, far above any coefficient; the result is checked exactly."""


def solve(rows: Sequence[Sequence[int]], right: Sequence[int]) -> list[int] | None:
    """The whole-number solution of an overdetermined system, `None` where there is not one."""
    width = len(rows[0])
    if len(rows) < width:
        return None
    work: list[list[int]] = [
        [x % PRIME for x in (*row, value)] for row, value in zip(rows, right, strict=True)
    ]
    for column in range(width):
        pivot = next((i for i in range(column, len(work)) if work[i][column]), None)
        if pivot is None:
            return None
        work[column], work[pivot] = work[pivot], work[column]
        inverse = pow(work[column][column], -1, PRIME)
        head = work[column] = [x * inverse % PRIME for x in work[column]]
        for i, row in enumerate(work):
            times = row[column]
            if i != column and times:
                work[i] = [(x - times * y) % PRIME for x, y in zip(row, head, strict=True)]
    found = [work[i][width] for i in range(width)]
    signed = [x if x < PRIME // 2 else x - PRIME for x in found]
    for given, value in zip(rows, right, strict=True):
        if sum(x * y for x, y in zip(given, signed, strict=True)) != value:
            return None
    return signed
