"""Least squares with a prior: many parameters, most of which few rows depend on.

Residuals count by √(1 + r²) (Charbonnier et al. 1997), reweighted in every step. Steps are those
of Levenberg and Marquardt (1963), and the linear system of each is solved by conjugate gradients
in units of the prior's standard deviations, in which a parameter that nothing measures stays put.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

Residuals = Callable[[Numbers], Numbers]
Slopes = Callable[[Numbers], tuple[Numbers, sparse.csr_matrix]]

ENOUGH = 1e-3
"""Share of the loss that a step must still win."""

MOST_TRIES = 8
MOST_DIRECTIONS = 150
PRECISE = 1e-6
"""Where conjugate gradients stop: directions, and the squared residual that is left."""


def smallest(
    start: Numbers, spreads: Numbers, weights: Numbers, residuals: Residuals, slopes: Slopes,
    steps: int,
) -> tuple[Numbers, float]:  # fmt: skip
    """Parameters at which Σ weight · (√(1 + r²) − 1) + Σ (parameter ÷ spread)² ÷ 2 is least.

    Args:
        start: all parameters.
        spreads: standard deviations of the prior around 0.
        weights: of the residuals.
        residuals: of parameters.
        slopes: residuals with their derivatives, (residuals, parameters).
        steps: at most.

    Returns:
        The parameters and what is left of the sum.
    """

    def loss(found: Numbers, at: Numbers) -> float:
        return float(weights @ (np.sqrt(1 + found**2) - 1) + ((at / spreads) ** 2).sum() / 2)

    at, damping = start, 0.0
    left = loss(residuals(at), at)
    for _ in range(steps):
        found, jacobian = slopes(at)
        root = np.sqrt(weights / np.sqrt(1 + found**2))
        scaled = (sparse.diags(root) @ jacobian @ sparse.diags(spreads)).tocsr()
        downhill = -(scaled.T @ (root * found)) - at / spreads
        for _ in range(MOST_TRIES):
            moved = at + spreads * _solved(scaled, downhill, damping)
            now = loss(residuals(moved), moved)
            if now < left:
                break
            damping = max(4 * damping, 1.0)
        else:
            return at, left
        at, won, left = moved, left - now, now
        damping = damping / 3 if damping > SMALL else 0.0
        if won < ENOUGH * left:
            break
    return at, left


SMALL = 0.3


def _solved(scaled: sparse.csr_matrix, right: Numbers, damping: float) -> Numbers:
    """Solve (AᵀA + 1 + damping · diag(AᵀA)) x = right by preconditioned conjugate gradients."""
    squares = np.asarray(scaled.multiply(scaled).sum(0)).ravel()
    extra = 1 + damping * squares
    diagonal = squares + extra
    transposed = scaled.T.tocsr()
    x, residual = np.zeros_like(right), right.copy()
    direction = residual / diagonal
    size = first = residual @ direction
    for _ in range(MOST_DIRECTIONS):
        image = transposed @ (scaled @ direction) + extra * direction
        step = size / (direction @ image)
        x += step * direction
        residual -= step * image
        preconditioned = residual / diagonal
        before, size = size, residual @ preconditioned
        if size < PRECISE * first:
            break
        direction = preconditioned + size / before * direction
    return x
