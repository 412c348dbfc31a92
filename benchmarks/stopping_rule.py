"""How far from the truth do stopping rules end, on simulated devices whose truth is known?

    python benchmarks/stopping_rule.py

Prints one row a trace and rule: error of the reported time in percent, median and 95th percentile
over the seeds, and the simulated seconds spent.
The other rules are the sampling plans of timm's benchmark.py, triton.testing.do_bench,
torch.utils.benchmark's blocked_autorange and nvbench, reduced to their arithmetic.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from archscope.measure.sampling import Laps, StoppingRule, measure

SEEDS = 60


@dataclass
class SimulatedDevice:
    """A clock whose steady time is known.

    Every trace begins with a transient of three calls (allocation, algorithm search) and a clock
    that speeds up by 6 % over 0.3 s.

    Args:
        base: steady seconds of one call.
        noise: relative standard deviation of every call.
        spikes: share of calls that take 1.5 to 3.5 times as long (other load).
        states: relative distance of two clock states that alternate, each for 0.5 s on average.
    """

    seed: int
    base: float
    noise: float
    spikes: float = 0.0
    states: float = 0.0
    now: float = 0.0
    calls: int = 0
    _random: random.Random = field(init=False)
    _slow: bool = field(init=False)
    _switch: float = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._slow = self._random.random() < 0.5
        self._switch = self._random.expovariate(2.0)

    @property
    def truth(self) -> float:
        """Long-run mean without noise and spikes."""
        return self.base * (1 + self.states / 2)

    def one(self) -> float:
        seconds = self.base * (1 + self._random.gauss(0, self.noise))
        seconds *= 1 + 0.06 * max(0.0, 1 - self.now / 0.3)
        seconds *= 1 + 2 * math.exp(-self.calls / 3)
        if self._random.random() < self.spikes:
            seconds *= self._random.uniform(1.5, 3.5)
        while self.now > self._switch:
            self._slow = not self._slow
            self._switch += self._random.expovariate(2.0)
        seconds *= 1 + self.states * self._slow
        self.now += seconds
        self.calls += 1
        return seconds

    def laps(self, count: int) -> list[Laps]:
        return [(self.one(),) for _ in range(count)]

    def times(self, count: int) -> list[float]:
        return [self.one() for _ in range(count)]


TRACES: dict[str, Callable[[int], SimulatedDevice]] = {
    "2 ms, 3 % noise": lambda seed: SimulatedDevice(seed, 2e-3, 0.03),
    "2 ms, 3 % spikes": lambda seed: SimulatedDevice(seed, 2e-3, 0.01, spikes=0.03),
    "20 ms, 3 % spikes": lambda seed: SimulatedDevice(seed, 20e-3, 0.005, spikes=0.03),
    "20 ms, two clock states": lambda seed: SimulatedDevice(seed, 20e-3, 0.005, states=0.038),
}


def archscope_rule(device: SimulatedDevice) -> float:
    return measure(device, StoppingRule()).total.median


def timm(device: SimulatedDevice) -> float:
    """Ten warm-up calls, the mean of forty."""
    device.times(10)
    return statistics.fmean(device.times(40))


def do_bench(device: SimulatedDevice) -> float:
    """An estimate from five calls plans 25 ms of warm-up and 100 ms whose mean counts."""
    device.one()
    estimate = statistics.fmean(device.times(5))
    device.times(max(1, int(0.025 / estimate)))
    return statistics.fmean(device.times(max(1, int(0.1 / estimate))))


def blocked_autorange(device: SimulatedDevice) -> float:
    """Blocks of a tenth of a millisecond or more for 0.2 s in all; the median counts."""
    times: list[float] = []
    while sum(times) < 0.2:
        times.append(device.one())
    return statistics.median(times)


def nvbench(device: SimulatedDevice) -> float:
    """One warm-up call; the mean, once the relative noise is below 0.5 % or has settled."""
    device.one()
    times = device.times(10)
    noise: list[float] = []
    while device.now < 15:
        times.append(device.one())
        noise.append(statistics.pstdev(times[-100:]) / statistics.fmean(times[-100:]))
        settled = len(noise) >= 1000 and statistics.pstdev(noise[-100:]) < 0.05 * noise[-1]
        if device.now >= 0.5 and (noise[-1] < 0.005 or settled):
            break
    return statistics.fmean(times)


RULES: dict[str, Callable[[SimulatedDevice], float]] = {
    "timm": timm,
    "do_bench": do_bench,
    "blocked_autorange": blocked_autorange,
    "nvbench": nvbench,
    "archscope": archscope_rule,
}


def errors(
    rule: Callable[[SimulatedDevice], float], trace: Callable[[int], SimulatedDevice], seeds: int
) -> tuple[float, float, float]:
    """Median and 95th percentile of the relative error, and the median of the seconds spent."""
    found, spent = [], []
    for seed in range(seeds):
        device = trace(seed)
        found.append(abs(rule(device) / device.truth - 1))
        spent.append(device.now)
    found.sort()
    return statistics.median(found), found[int(0.95 * (len(found) - 1))], statistics.median(spent)


def warned(trace: Callable[[int], SimulatedDevice], seeds: int) -> int:
    """How many runs warn of two states."""
    return sum(
        any("two states" in text for text in measure(trace(seed)).total.warnings)
        for seed in range(seeds)
    )


def main() -> None:
    for name, trace in TRACES.items():
        print(name)
        for title, rule in RULES.items():
            middle, high, spent = errors(rule, trace, SEEDS)
            print(f"  {title:18s} {100 * middle:6.2f} / {100 * high:6.2f} %   {spent:5.2f} s")
        print(f"  two states warned of: {warned(trace, SEEDS)} of {SEEDS}")


if __name__ == "__main__":
    main()
