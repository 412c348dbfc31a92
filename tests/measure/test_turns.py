"""Things measured in turns: what drifts meets all of them, and their ratio does not move."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from archscope.measure.sampling import Laps, StoppingRule
from archscope.measure.turns import TurnsInterrupted, measure_in_turns, paired_ratio
from archscope.records.measured import FEWEST_RUNS

RULE = StoppingRule(precision=0.01, min_seconds=0.2, max_seconds=20, min_warmup_seconds=0.1)


@dataclass
class Machine:
    """A clock that is not read: every repetition makes all later ones slower."""

    slowness: float = 1.0
    growth: float = 1.0


@dataclass
class Thing:
    """Repeats what takes `seconds` on a machine as it was at first, give or take 1 %."""

    machine: Machine
    seconds: float
    noise: random.Random = field(default_factory=lambda: random.Random(0))
    stop_after: int = 1 << 30
    taken: int = 0

    def laps(self, count: int) -> Iterator[Laps]:
        for _ in range(count):
            if self.taken >= self.stop_after:
                raise KeyboardInterrupt
            self.taken += 1
            self.machine.slowness *= self.machine.growth
            yield (self.seconds * self.machine.slowness * self.noise.uniform(0.99, 1.01),)


def test_drift_cancels_in_the_ratio() -> None:
    machine = Machine(growth=1.006)
    things = [Thing(machine, 0.03), Thing(machine, 0.02, random.Random(1))]
    turns = measure_in_turns(things, RULE)
    ratio = paired_ratio(*turns.rounds)
    first, second = (timing.total for timing in turns.timings)
    assert machine.slowness > 1.3  # each series alone says that it drifted
    assert first.seconds[-1] / first.seconds[0] > 1.05 < second.seconds[-1] / second.seconds[0]
    assert ratio.known and ratio.low <= 1.5 <= ratio.high
    assert ratio.half_width < 0.03 and not ratio.is_one


def test_equal_things_are_equally_fast() -> None:
    machine = Machine()
    things = [Thing(machine, 0.02), Thing(machine, 0.02, random.Random(1))]
    ratio = paired_ratio(*measure_in_turns(things, RULE).rounds)
    assert ratio.is_one and ratio.inverse.is_one
    assert ratio.inverse.value == pytest.approx(1 / ratio.value)


def test_time_runs_out_before_there_is_an_interval() -> None:
    things = [Thing(Machine(), 0.3), Thing(Machine(), 0.5)]
    rule = StoppingRule(max_seconds=1.0)
    shares: list[float] = []
    turns = measure_in_turns(things, rule, lambda share, rounds: shares.append(share))
    ratio = paired_ratio(*turns.rounds)
    assert ratio.rounds < FEWEST_RUNS and not ratio.known
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert sum(map(sum, turns.rounds)) <= 2 * rule.max_seconds + 0.81  # a round is finished


def test_an_interruption_keeps_whole_rounds() -> None:
    things = [Thing(Machine(), 0.3), Thing(Machine(), 0.3, random.Random(1), stop_after=40)]
    with pytest.raises(TurnsInterrupted) as interrupted:
        measure_in_turns(things, StoppingRule(max_seconds=1000, precision=1e-9))
    turns = interrupted.value.turns
    assert len(turns.rounds[0]) == len(turns.rounds[1]) > 0
    assert all(not timing.total.converged for timing in turns.timings)


def test_an_interruption_before_anything_ran_has_nothing_to_say() -> None:
    with pytest.raises(KeyboardInterrupt) as interrupted:
        measure_in_turns([Thing(Machine(), 0.3, stop_after=0), Thing(Machine(), 0.3)], RULE)
    assert not isinstance(interrupted.value, TurnsInterrupted)
