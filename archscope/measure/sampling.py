"""How often to repeat a thing before its median is known, and what the repetitions say.

Device clocks ramp, samples of neighbouring moments are alike, and other programs interfere, so a
fixed number of repetitions is wrong in both directions.
The rule: the first call apart; warm up until neighbouring windows agree; drop what is left of the
ramp (MSER: White 1997, "An effective truncation heuristic for bias reduction in simulation
output"); stop when the 95 % order-statistic interval of the median, widened for autocorrelation,
is within the precision asked for.
A device that switches between two clock states never meets it: the interval then spans both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Protocol

from archscope.records import Measurement
from archscope.records.measured import FEWEST_RUNS

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""

Laps = tuple[float, ...]
"""Seconds of each stage of one repetition, in order."""

Progress = Callable[[float], None]
"""Told the share of the time limit that is spent, between 0 and 1."""


class Clock(Protocol):
    """Repeats one thing of one or more stages and says how long each stage took."""

    def laps(self, count: int) -> list[Laps]:
        """Run `count` repetitions; seconds of the stages of each."""


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When a median counts as known.

    Args:
        precision: half of the median's 95 % interval over the median.
        min_seconds: kept samples cover at least this much time.
        max_seconds: give up after this long, `not converged`; half of it at most is warm-up.
        min_warmup_seconds: warm-up lasts at least this long.
        min_samples: size of the first batch kept.
        min_effective: independent samples that the kept ones must be worth.
    """

    precision: float = 0.005
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    min_warmup_seconds: float = 0.5
    min_samples: int = 30
    min_effective: float = 20.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The repeated thing as a whole, and each of its stages from the same repetitions."""

    total: Measurement
    stages: tuple[Measurement, ...]


def measure(
    clock: Clock, rule: StoppingRule = StoppingRule(), progress: Progress = lambda _: None
) -> Timing:
    """Repeat until the rule is met.

    Stages that take a tenth of the time or more must reach the precision too.
    """
    first = clock.laps(1)[0]
    warmup, steady = _warm_up(clock, sum(first), rule)
    kept: list[Laps] = []
    spent, planned, cut = 0.0, rule.min_samples, 0
    expected = statistics.median(sum(laps) for laps in warmup[-5:])
    while True:
        affordable = int((rule.max_seconds - spent) / max(expected, 1e-9))
        batch = clock.laps(max(1, min(planned, affordable)))
        kept += batch
        spent += sum(map(sum, batch))
        totals = [sum(laps) for laps in kept]
        cut = 0 if two_states(totals) else warmup_cut(totals)
        expected = statistics.median(totals[cut:])
        needed = _samples_needed(kept, cut, rule)
        progress(min(1.0, spent / rule.max_seconds))
        if needed == 0 or spent >= rule.max_seconds:
            break
        planned = needed
    dropped = len(warmup) + cut
    series = [tuple(map(sum, kept)), *zip(*kept, strict=True)]
    firsts = [sum(first), *first]
    whole, *stages = (
        summarise(values, rule, cut=cut, first=begin, warmup=dropped)
        for values, begin in zip(series, firsts, strict=True)
    )
    if not steady:
        text = "not steady when the warm-up ended"
        whole = replace(whole, warnings=(*whole.warnings, text))
    return Timing(whole, tuple(stages))


def _warm_up(clock: Clock, first: float, rule: StoppingRule) -> tuple[list[Laps], bool]:
    """Repeat until two neighbouring pairs of windows agree; the samples, and whether they did."""
    limit = rule.max_seconds / 2
    samples: list[Laps] = []
    spent, agreed, expected = 0.0, 0, first
    before: list[float] = []
    while not samples or (
        spent < limit and (agreed < 2 or spent < min(rule.min_warmup_seconds, limit))
    ):
        at_least = min(5, max(1, int(limit / 4 / max(expected, 1e-9))))
        window = clock.laps(max(at_least, min(200, int(0.05 / max(expected, 1e-9)))))
        samples += window
        now = [sum(laps) for laps in window]
        spent += sum(now)
        agreed = agreed + 1 if before and _agree(before, now) else 0
        before, expected = now, statistics.median(now)
    return samples, agreed >= 2


def _agree(before: Sequence[float], now: Sequence[float]) -> bool:
    """Whether two windows have the same median within 1 % or within their own noise."""
    median = statistics.median(now)
    # The standard error of a median is 1.25 σ/√n; of a difference of two, √2 times that.
    noise = 1.25 * _spread(now) * math.sqrt(2 / len(now))
    return abs(statistics.median(before) - median) <= max(0.01 * median, 2 * noise)


def _samples_needed(taken: Sequence[Laps], cut: int, rule: StoppingRule) -> int:
    """How many samples the next batch should hold; 0 when the rule is met."""
    totals = [sum(laps) for laps in taken]
    kept = totals[cut:]
    median = statistics.median(kept)
    worst = _relative_half_width(kept)
    for values in zip(*taken[cut:], strict=True):
        if statistics.median(values) >= 0.1 * median:
            worst = max(worst, _relative_half_width(values))
    if (
        worst <= rule.precision
        and sum(kept) >= rule.min_seconds
        and effective_count(kept) >= rule.min_effective
        and not two_states(totals)
    ):
        return 0
    missing = len(kept) * max(0.2, (worst / rule.precision) ** 2 - 1)
    tenth_of_a_second = min(1000.0, 0.1 / max(median, 1e-9))
    return max(1, int(max(min(missing, len(kept) + 8), tenth_of_a_second)))


def _relative_half_width(seconds: Sequence[float]) -> float:
    low, high = median_interval(seconds)
    return (high - low) / 2 / max(statistics.median(seconds), 1e-12)


def summarise(
    taken: Sequence[float],
    rule: StoppingRule,
    *,
    cut: int = 0,
    first: float | None = None,
    warmup: int = 0,
) -> Measurement:
    """Interval, convergence and warnings of the samples behind the first `cut`."""
    seconds, states = taken[cut:], two_states(taken)
    low, high = median_interval(seconds)
    if states is not None:
        low, high = min(low, states[0]), max(high, states[1])
    half_width = (high - low) / 2 / max(statistics.median(seconds), 1e-12)
    enough = len(seconds) >= FEWEST_RUNS
    converged = enough and half_width <= rule.precision
    converged = converged and effective_count(seconds) >= rule.min_effective
    warnings = _warnings(seconds)
    if states is not None:
        warnings.insert(
            0,
            f"two states: {1e3 * states[0]:.4g} ms and, {100 * states[2]:.0f} % of the time, "
            f"{1e3 * states[1]:.4g} ms (device clocks or other load); the interval spans both",
        )
    if not converged:
        known = f"±{100 * half_width:.2f} %" if enough else "too few runs for a 95 % interval,"
        warnings.insert(0, f"not converged: {known} in {sum(seconds):.1f} s")
    return Measurement(
        seconds=tuple(round(value, 9) for value in seconds),
        median_low=round(low, 9),
        median_high=round(high, 9),
        first_seconds=None if first is None else round(first, 9),
        warmup=warmup,
        converged=converged,
        warnings=tuple(warnings),
    )


def _warnings(seconds: Sequence[float]) -> list[str]:
    found = []
    change = drift(seconds)
    if abs(change) > 0.01 and abs(trend(seconds)) > 3:
        found.append(f"drift of {100 * change:+.1f} % (clocks, temperature, other load)")
    if len(seconds) >= 20 and outliers(seconds) > 0.05 * len(seconds):
        found.append(f"{outliers(seconds)} of {len(seconds)} samples are outliers (other load)")
    return found


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
    spread = math.hypot(_spread(lower), _spread(upper)) / math.sqrt(2)
    if high == low:
        return None
    valley = sum(0.3 < (value - low) / (high - low) < 0.7 for value in values)
    if high - low < max(0.01 * low, 4 * spread) or valley > 0.05 * n:
        return None
    share = len(upper) / n
    slow = [value >= upper[0] for value in values]
    switches = sum(a != b for a, b in pairwise(slow))
    lasting = switches <= 0.25 * 2 * n * share * (1 - share)
    return (low, high, share) if lasting or 0.15 <= share <= 0.85 else None


def outliers(seconds: Sequence[float]) -> int:
    """Samples more than ten robust standard deviations from the median."""
    median = statistics.median(seconds)
    limit = 10 * max(_spread(seconds), 1e-4 * median)
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


def _spread(values: Sequence[float]) -> float:
    """Robust standard deviation."""
    median = statistics.median(values)
    return MAD_TO_SIGMA * statistics.median(abs(value - median) for value in values)
