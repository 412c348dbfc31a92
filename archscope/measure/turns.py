"""Several things repeated in turns, so that what drifts meets all of them alike.

A round gives each thing one turn, and the order of the turns alternates. The quotient of the two
medians of a round is one sample of a ratio: load, temperature and clocks of that moment cancel
(paired design; Box, Hunter and Hunter, "Statistics for Experimenters", chapter 3).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from archscope.measure.sampling import (
    Clock,
    StoppingRule,
    Taken,
    Timing,
    cut_short,
    relative_half_width,
    timing_of,
    warm_up,
)
from archscope.measure.series import median_interval
from archscope.records.measured import FEWEST_RUNS, PairedRatio

TURN_SECONDS = 0.05
"""A turn lasts at least so long, so that clocks and caches settle; or one repetition."""

Rounds = tuple[tuple[float, ...], ...]
"""Of each thing, the median seconds of its turn in every round."""

Progress = Callable[[float, Rounds], None]
"""Called with the share of the time limit that is spent, and the rounds so far."""


@dataclass(frozen=True, slots=True)
class Turns:
    """What was measured in turns.

    Args:
        timings: of each thing, from all of its repetitions.
        rounds: of each thing, for ratios.
    """

    timings: tuple[Timing, ...]
    rounds: Rounds


class TurnsInterrupted(KeyboardInterrupt):
    """Ctrl-C while things were repeated in turns.

    Args:
        turns: what the repetitions until then say.
    """

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.turns = turns


def paired_ratio(one: Sequence[float], other: Sequence[float]) -> PairedRatio:
    """How many times as long the first takes as the other.

    Args:
        one: seconds in each round.
        other: seconds in the same rounds.
    """
    quotients = [a / b for a, b in zip(one, other, strict=True)]
    low, high = median_interval(quotients)
    return PairedRatio(statistics.median(quotients), low, high, len(quotients))


def measure_in_turns(
    clocks: Sequence[Clock],
    rule: StoppingRule,
    progress: Progress = lambda share, rounds: None,
) -> Turns:
    """Repeat things in turns until every ratio of two is known, or the time is spent.

    Args:
        clocks: one a thing.
        rule: its precision is that of the ratios, its seconds are for each thing.
        progress: called after every round.

    Raises:
        TurnsInterrupted: on Ctrl-C once each thing has run; holds what is known by then.
    """
    taken = [Taken() for _ in clocks]
    rounds: list[list[float]] = [[] for _ in clocks]
    try:
        _repeat(clocks, rule, progress, taken, rounds)
    except KeyboardInterrupt:
        if not all(each.first for each in taken):
            raise
        timings = tuple(cut_short(each, rule) for each in taken)
        raise TurnsInterrupted(Turns(timings, _whole(rounds))) from None
    return Turns(tuple(timing_of(each, rule) for each in taken), _whole(rounds))


def _whole(rounds: Sequence[Sequence[float]]) -> Rounds:
    """The rounds in which each thing had its turn."""
    count = min(map(len, rounds))
    return tuple(tuple(each[:count]) for each in rounds)


def _repeat(
    clocks: Sequence[Clock],
    rule: StoppingRule,
    progress: Progress,
    taken: Sequence[Taken],
    rounds: Sequence[list[float]],
) -> None:
    for clock, each in zip(clocks, taken, strict=True):
        each.first += clock.laps(1)
        warm_up(clock, rule, each)
    expected = [statistics.median(map(sum, each.warmup[-5:])) for each in taken]
    repeats = [max(1, round(TURN_SECONDS / max(seconds, 1e-9))) for seconds in expected]
    order, spent, limit = list(range(len(clocks))), 0.0, rule.max_seconds * len(clocks)
    while True:
        for place in order:
            begun = len(taken[place].samples)
            taken[place].samples += clocks[place].laps(repeats[place])
            turn = [sum(laps) for laps in taken[place].samples[begun:]]
            rounds[place].append(statistics.median(turn))
            spent += sum(turn)
        order.reverse()
        progress(min(1.0, spent / limit), _whole(rounds))
        enough = spent >= rule.min_seconds * len(clocks) and _known(rounds, rule)
        if enough or spent >= limit:
            return


def _known(rounds: Sequence[Sequence[float]], rule: StoppingRule) -> bool:
    """Whether the ratio of every two things has the precision asked for."""
    return len(rounds[0]) >= FEWEST_RUNS and all(
        relative_half_width([a / b for a, b in zip(one, other, strict=True)]) <= rule.precision
        for one, other in combinations(rounds, 2)
    )
