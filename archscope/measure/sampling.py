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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from archscope.measure.series import (
    drift,
    effective_count,
    median_interval,
    outliers,
    spread,
    trend,
    two_states,
    warmup_cut,
)
from archscope.records import Measurement
from archscope.records.measured import FEWEST_RUNS
from archscope.units import seconds as in_seconds

UNSTEADY = "not steady when the warm-up ended"

CAUSES = {
    "two states": "device clocks or other load; the interval spans both",
    "drift": "clocks, temperature, other load",
    "outliers": "other load",
}
"""What a warning of each kind comes from; a warning is `kind: detail`, or its kind alone."""

Laps = tuple[float, ...]
"""Seconds of each stage of one repetition, in order."""

Progress = Callable[[float], None]
"""Called with the share of the time limit that is spent, between 0 and 1."""


class Clock(Protocol):
    """Repeats one thing of one or more stages and says how long each stage took."""

    def laps(self, count: int) -> Iterable[Laps]:
        """Run `count` repetitions; seconds of the stages of each."""


@dataclass(frozen=True, slots=True)
class OneByOne:
    """A clock whose repetitions are each asked for alone, so that an interruption loses only one.

    Not for a clock that queues its repetitions back to back.
    """

    clock: Clock

    def laps(self, count: int) -> Iterable[Laps]:
        for _ in range(count):
            yield from self.clock.laps(1)


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When a median counts as known.

    Args:
        precision: half of the median's 95 % interval over the median.
        min_seconds: samples after the warm-up cover at least this much time.
        max_seconds: give up after this long, `not converged`; half of it at most is warm-up.
        min_warmup_seconds: warm-up lasts at least this long.
        min_samples: size of the first batch after the warm-up.
        min_effective: independent samples that those after the warm-up must be worth.
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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a thing was being repeated.

    Args:
        timing: what the repetitions until then say.
    """

    def __init__(self, timing: Timing) -> None:
        super().__init__()
        self.timing = timing


@dataclass
class Taken:
    """Repetitions so far.

    Args:
        first: the very first call, which stands apart.
        steady: whether the warm-up ended because its windows agreed.
        cut: how many of the samples still belong to the warm-up.
    """

    first: list[Laps] = field(default_factory=list)
    warmup: list[Laps] = field(default_factory=list)
    samples: list[Laps] = field(default_factory=list)
    steady: bool = True
    cut: int = 0


def measure(
    clock: Clock, rule: StoppingRule = StoppingRule(), progress: Progress = lambda _: None
) -> Timing:
    """Repeat until the rule is met.

    Stages that take a tenth of the time or more must reach the precision too.

    Raises:
        Interrupted: on Ctrl-C behind the first repetition; holds what is known by then.
    """
    taken = Taken()
    try:
        _repeat(clock, rule, progress, taken)
    except KeyboardInterrupt:
        if not taken.first:
            raise
        raise Interrupted(cut_short(taken, rule)) from None
    return timing_of(taken, rule)


def _repeat(clock: Clock, rule: StoppingRule, progress: Progress, taken: Taken) -> None:
    taken.first += clock.laps(1)
    warm_up(clock, rule, taken)
    spent, planned = 0.0, rule.min_samples
    expected = statistics.median(sum(laps) for laps in taken.warmup[-5:])
    while True:
        affordable = int((rule.max_seconds - spent) / max(expected, 1e-9))
        begun = len(taken.samples)
        # A list takes items as they come, so an interruption keeps those before it.
        taken.samples += clock.laps(max(1, min(planned, affordable)))
        spent += sum(map(sum, taken.samples[begun:]))
        totals = [sum(laps) for laps in taken.samples]
        taken.cut = 0 if two_states(totals) else warmup_cut(totals)
        expected = statistics.median(totals[taken.cut :])
        planned = _samples_needed(taken.samples, taken.cut, rule)
        progress(min(1.0, spent / rule.max_seconds))
        if planned == 0 or spent >= rule.max_seconds:
            return


def timing_of(taken: Taken, rule: StoppingRule) -> Timing:
    """What finished repetitions say."""
    first, samples = taken.first[0], taken.samples
    dropped = len(taken.warmup) + taken.cut
    series = [tuple(map(sum, samples)), *zip(*samples, strict=True)]
    whole, *stages = (
        summarise(values, rule, cut=taken.cut, first=begin, warmup=dropped)
        for values, begin in zip(series, [sum(first), *first], strict=True)
    )
    if not taken.steady:
        whole = replace(whole, warnings=(*whole.warnings, UNSTEADY))
    return Timing(whole, tuple(stages))


def cut_short(taken: Taken, rule: StoppingRule) -> Timing:
    """What an interrupted measurement says: of its samples, else of its warm-up, else its first."""
    if taken.samples:
        where, chosen = "", taken
    elif taken.warmup:
        where, chosen = " of the warm-up", replace(taken, warmup=[], samples=taken.warmup)
    else:
        where, chosen = ", the first call", replace(taken, samples=taken.first)
    timing = timing_of(chosen, rule)

    def explained(measurement: Measurement) -> Measurement:
        count = len(measurement.seconds)
        text = f"interrupted: after {count} sample{'s' * (count != 1)}{where}"
        return replace(measurement, converged=False, warnings=(text, *measurement.warnings))

    return Timing(explained(timing.total), tuple(map(explained, timing.stages)))


def warm_up(clock: Clock, rule: StoppingRule, taken: Taken) -> None:
    """Repeat until two neighbouring pairs of windows agree, or half the time is spent."""
    limit, samples = rule.max_seconds / 2, taken.warmup
    spent, agreed, expected = 0.0, 0, sum(taken.first[0])
    before: list[float] = []
    while not samples or (
        spent < limit and (agreed < 2 or spent < min(rule.min_warmup_seconds, limit))
    ):
        at_least = min(5, max(1, int(limit / 4 / max(expected, 1e-9))))
        begun = len(samples)
        samples += clock.laps(max(at_least, min(200, int(0.05 / max(expected, 1e-9)))))
        now = [sum(laps) for laps in samples[begun:]]
        spent += sum(now)
        agreed = agreed + 1 if before and _agree(before, now) else 0
        before, expected = now, statistics.median(now)
    taken.steady = agreed >= 2


def _agree(before: Sequence[float], now: Sequence[float]) -> bool:
    """Whether two windows have the same median within 1 % or within their own noise."""
    median = statistics.median(now)
    # The standard error of a median is 1.25 σ/√n; of a difference of two, √2 times that.
    noise = 1.25 * spread(now) * math.sqrt(2 / len(now))
    return abs(statistics.median(before) - median) <= max(0.01 * median, 2 * noise)


def _samples_needed(taken: Sequence[Laps], cut: int, rule: StoppingRule) -> int:
    """How many samples the next batch should hold; 0 when the rule is met."""
    totals = [sum(laps) for laps in taken]
    steady = totals[cut:]
    median = statistics.median(steady)
    worst = relative_half_width(steady)
    for values in zip(*taken[cut:], strict=True):
        if statistics.median(values) >= 0.1 * median:
            worst = max(worst, relative_half_width(values))
    if (
        worst <= rule.precision
        and sum(steady) >= rule.min_seconds
        and effective_count(steady) >= rule.min_effective
        and not two_states(totals)
    ):
        return 0
    missing = len(steady) * max(0.2, (worst / rule.precision) ** 2 - 1)
    tenth_of_a_second = min(1000.0, 0.1 / max(median, 1e-9))
    return max(1, int(max(min(missing, len(steady) + 8), tenth_of_a_second)))


def relative_half_width(seconds: Sequence[float]) -> float:
    """Half of the median's 95 % interval over the median."""
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
            f"two states: {in_seconds(states[0], 4)} and, {100 * states[2]:.0f} % of the time, "
            f"{in_seconds(states[1], 4)}",
        )
    if not converged:
        wide = half_width >= 1
        width = "interval wider than the median" if wide else f"±{100 * half_width:.2f} %"
        known = f"{width} in {sum(seconds):.2g} s"
        unknown = "interval unknown, too few runs"
        warnings.insert(0, f"not converged: {known if enough else unknown}")
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
        found.append(f"drift: {100 * change:+.1f} %")
    if len(seconds) >= 20 and outliers(seconds) > 0.05 * len(seconds):
        found.append(f"outliers: {outliers(seconds)} of {len(seconds)} samples")
    return found
