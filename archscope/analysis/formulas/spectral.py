"""Fast Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod
from typing import Any

from archscope.analysis.ops import Sized, Tally
from archscope.records import Cost, Factor, Product


def complex_transform(x: Sized, dim: Sequence[int], *rest: Any, out: Sized) -> Tally:
    """5 N log₂ N real operations for N complex values: the count of Cooley and Tukey's algorithm
    by which FFTW and cuFFT state their speed (Frigo and Johnson 2005, section I).

    Two operations are one multiply-accumulate. N is the product of the transformed sides.

    Args:
        x: complex values.
        dim: the transformed axes.
        rest: norm and direction.
        out: the transform.
    """
    return _transforms(x, dim, 5)


def real_transform(x: Sized, dim: Sequence[int], *rest: Any, out: Sized) -> Tally:
    """Of N real values: half of `complex_transform`."""
    return _transforms(x, dim, 2.5)


def inverse_real_transform(x: Sized, dim: Sequence[int], *rest: Any, out: Sized) -> Tally:
    """To N real values: half of `complex_transform` of the result's sides."""
    return _transforms(out, dim, 2.5)


def _transforms(sized: Sized, dim: Sequence[int], operations: float) -> Tally:
    points = prod(sized.shape[axis] for axis in dim)
    if points == 0:
        return Tally()
    one = round(operations * points * log2(points) / 2)
    factors = (
        Factor("transforms", sized.numel() // points),
        Factor(f"{operations / 2:g}·N·log₂N", one),
    )
    return Tally(Cost((Product(factors, "transform"),)))
