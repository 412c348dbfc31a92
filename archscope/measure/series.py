"""What a series of samples says: its median's interval, its warm-up, states, outliers and drift."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations, pairwise

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""


def median_interval(seconds: Sequence[float]) -> tuple[float, float]:
    """Distribution-free 95 % interval of the median, widened for autocorrelation.

    Ranks n/2 ± 1.96·√n/2 of the ordered samples (Conover, "Practical Nonparametric Statistics"),
    with the interval in ranks stretched by √(n / effective n).
    """
    ordered, n = sorted(seconds), len(seconds)
    half = Z95 * 0.5 * n / math.sqrt(effective_count(seconds))
    low = max(0, math.floor(n / 2 - half))
    high = min(n - 1, math.ceil(n / 2 + half) - 1)
    return ordered[low], ordered[max(high, low)]


def effective_count(seconds: Sequence[float]) -> float:
    """How many independent samples these are worth: n / (1 + 2 Σ ρ_k).

    ρ_k is the autocorrelation of the ranks, so that spikes do not hide it; the sum ends at the
    first insignificant lag.
    Of more than 2000 samples the last 2000 stand for all.
    """
    recent = seconds[-2000:]
    n = len(recent)
    ranks = [0.0] * n
    for rank, index in enumerate(sorted(range(n), key=recent.__getitem__)):
        ranks[index] = rank - (n - 1) / 2
    variance = sum(rank * rank for rank in ranks)
    if n < 8 or variance == 0 or min(recent) == max(recent):
        return float(len(seconds))
    time_constant = 1.0
    for lag in range(1, n // 4):
        rho = sum(a * b for a, b in zip(ranks, ranks[lag:], strict=False)) / variance
        if rho < 2 / math.sqrt(n):
            break
        time_constant += 2 * rho
    return max(4.0, n / time_constant) * (len(seconds) / n)


def warmup_cut(seconds: Sequence[float], blocks: int = 60) -> int:
    """How many leading samples still belong to the warm-up, never more than half.

    MSER on block medians: the cut that minimises the squared standard error of what remains.
    """
    medians, size = _block_medians(seconds, blocks)
    n = len(medians)
    if n < 8:
        return 0
    best, cut, total, squares = math.inf, 0, 0.0, 0.0
    for start in range(n - 1, -1, -1):
        total += medians[start]
        squares += medians[start] ** 2
        rest = n - start
        if start <= n // 2:
            error = max(squares - total * total / rest, 0.0) / rest**2
            if error <= best:
                best, cut = error, start
    return cut * size


def two_states(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    """The two levels between which samples switch and the share of the slower; `None` for one.

    Tried on the samples and, where blocks hold three or more, on medians of consecutive blocks,
    whose noise is smaller.
    """
    medians, size = _block_medians(seconds, 40)
    return _split(seconds) or (_split(medians) if size >= 3 else None)


def _split(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The best split in two, if the parts lie 4 spreads and 1 % apart with a valley between them.

    Halves of a normal distribution lie 2.4 of their own spreads apart, of a uniform one 2.7, and
    a long tail has no valley.
    Spikes come singly, states last: a part may hold down to 5 % of the values if they are
    neighbours, otherwise 15 %.
    """
    ordered, n = sorted(values), len(values)
    if n < 20:
        return None
    edge = math.ceil(0.05 * n)
    total, running, best, at = sum(ordered), sum(ordered[: edge - 1]), -math.inf, edge
    for index in range(edge, n - edge + 1):
        running += ordered[index - 1]
        # Between-group variance (Otsu 1979), up to a constant.
        between = running**2 / index + (total - running) ** 2 / (n - index)
        if between > best:
            best, at = between, index
    lower, upper = ordered[:at], ordered[at:]
    low, high = statistics.median(lower), statistics.median(upper)
    within = math.hypot(spread(lower), spread(upper)) / math.sqrt(2)
    if high == low:
        return None
    valley = sum(0.3 < (value - low) / (high - low) < 0.7 for value in values)
    if high - low < max(0.01 * low, 4 * within) or valley > 0.05 * n:
        return None
    share = len(upper) / n
    slow = [value >= upper[0] for value in values]
    switches = sum(a != b for a, b in pairwise(slow))
    lasting = switches <= 0.25 * 2 * n * share * (1 - share)
    return (low, high, share) if lasting or 0.15 <= share <= 0.85 else None


def outliers(seconds: Sequence[float]) -> int:
    """Samples more than ten robust standard deviations from the median."""
    median = statistics.median(seconds)
    limit = 10 * max(spread(seconds), 1e-4 * median)
    return sum(abs(value - median) > limit for value in seconds)


def drift(seconds: Sequence[float]) -> float:
    """Relative change from the median of the first third to that of the last."""
    third = max(1, len(seconds) // 3)
    return statistics.median(seconds[-third:]) / statistics.median(seconds[:third]) - 1


def trend(seconds: Sequence[float]) -> float:
    """Mann–Kendall z: how surely the samples rise (+) or fall (−) over time."""
    values, _ = _block_medians(seconds, 100)
    n = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    variance = n * (n - 1) * (2 * n + 5) / 18
    return 0.0 if variance == 0 else (score - (score > 0) + (score < 0)) / math.sqrt(variance)


def _block_medians(seconds: Sequence[float], blocks: int) -> tuple[list[float], int]:
    """Medians of consecutive blocks of equal size, and that size."""
    size = max(1, len(seconds) // blocks)
    starts = range(0, len(seconds) - size + 1, size)
    return [statistics.median(seconds[start : start + size]) for start in starts], size


def spread(values: Sequence[float]) -> float:
    """Robust standard deviation."""
    median = statistics.median(values)
    return MAD_TO_SIGMA * statistics.median(abs(value - median) for value in values)
