"""What was measured: seconds, where they were taken, and the profile of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archscope.records.network import Analysis, InputSpec

FEWEST_RUNS = 6
"""Samples whose extremes hold the median with 95 %: 1 − 2·0.5ⁿ ≥ 0.95."""

COPY = "copy"
"""Key of the memory roof among the peaks, in bytes per second; the others are flop/s."""

ROOF_OF = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""Key of the compute roof by the name of a dtype; other dtypes have none."""

INTERRUPTED = "Interrupted: what is missing was not measured."
"""Note of a Profile that Ctrl-C cut short."""

PROFILER_OVERHEAD = "[profiler overhead]"
"""Name of the row that leads from a host's profiled step to the step timed without profiler."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Raw seconds of one repeated thing, in the order taken, warm-up removed.

    Args:
        seconds: every sample after the warm-up.
        median_low, median_high: 95 % interval of the median, widened for autocorrelation.
        first_seconds: the very first call, with its compilation and algorithm search.
        warmup: how many samples were spent and dropped before the first of them.
        converged: whether the interval reached the precision asked for.
        warnings: what makes the number doubtful (drift, outliers, two clock states).
    """

    seconds: tuple[float, ...]
    median_low: float
    median_high: float
    first_seconds: float | None = None
    warmup: int = 0
    converged: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def median(self) -> float:
        return self._quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        return self._quantile(0.25), self._quantile(0.75)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the median; never printed tighter than 0.2 %."""
        return max(0.002, (self.median_high - self.median_low) / 2 / self.median)

    @property
    def known_half_width(self) -> float | None:
        """`relative_half_width`, `None` where there is no interval, or one that says nothing."""
        return None if self.no_interval else self.relative_half_width

    @property
    def no_interval(self) -> str:
        """Why there is no interval to show; empty where there is one.

        One that is wider than the median itself holds times near zero.
        """
        if len(self.seconds) < FEWEST_RUNS:
            return "too few runs for an interval"
        return "an interval wider than the median" if self.relative_half_width >= 1 else ""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the median, no tighter than it is ever printed."""
        half = self.relative_half_width * self.median
        return min(self.median_low, self.median - half), max(self.median_high, self.median + half)

    def overlaps(self, other: Measurement) -> bool | None:
        """Whether two medians may be the same: their 95 % intervals share a point.

        `None` where one of the intervals is unknown.
        """
        if self.known_half_width is None or other.known_half_width is None:
            return None
        low, high = zip(self.interval, other.interval, strict=True)
        return bool(max(low) <= min(high))

    def _quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        position = share * (len(ordered) - 1)
        index = int(position)
        if index + 1 >= len(ordered):
            return ordered[index]
        return ordered[index] + (position - index) * (ordered[index + 1] - ordered[index])


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """How many times as long one thing takes as another, measured in turns.

    Args:
        value: median over the rounds.
        low, high: its 95 % interval; of fewer rounds than `FEWEST_RUNS` the least and the largest.
        rounds: in which both were measured.
    """

    value: float
    low: float
    high: float
    rounds: int

    @property
    def half_width(self) -> float:
        """Of the interval, never printed tighter than 0.2 %."""
        return max(self.high - self.value, self.value - self.low, 0.002 * self.value)

    @property
    def known(self) -> bool:
        """Whether the interval is one of 95 %."""
        return self.rounds >= FEWEST_RUNS

    @property
    def is_one(self) -> bool:
        """Whether both may take equally long."""
        return abs(self.value - 1) <= self.half_width

    @property
    def inverse(self) -> PairedRatio:
        """Of the other thing to this one."""
        return PairedRatio(1 / self.value, 1 / self.high, 1 / self.low, self.rounds)


@dataclass(frozen=True, slots=True)
class Environment:
    """What decides a measured number besides the network: all of it text, as the tools print it."""

    device: str
    facts: tuple[tuple[str, str], ...] = ()

    def fact(self, key: str) -> str | None:
        return dict(self.facts).get(key)


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Seconds of one row of the step's table, mean over the middle half of the profiled steps.

    Args:
        name: the module's dotted path; `[GPU idle / launch gap]`, `[profiler overhead]` (which is
            below zero where measuring costs time) and the like for other rows.
        kind: class name, or what the row is.
        call: index of the module call, 0 for the first.
        seconds: phase (`forward`, `backward`, `recompute`, `optimizer`, …) to busy seconds.
        launches: kernels (or operators on CPU) a step.
        in_network: whether the row is a module of the network, or a graph compiled of its modules;
            a module may have any name, brackets included.
        waiting_seconds: in which a GPU had nothing to do before the row's kernels; they are part of
            the row of idle time, not of `seconds`.
    """

    name: str
    kind: str
    call: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    launches: int = 0
    in_network: bool = True
    waiting_seconds: float = 0.0

    @property
    def is_cost_of_measuring(self) -> bool:
        return not self.in_network and self.name == PROFILER_OVERHEAD

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Profile:
    """Everything measured about one network on one device.

    Args:
        phases: whole-step Measurements by phase: `forward`, `backward`, `optimizer`, `step`,
            `inference`, and the same with ` stream` or ` graph` behind for other clocks.
        layers: rows that add up to the step as timed with nothing attached.
        attributed: share of the profiled busy time that found its layer, by phase.
        peak_bytes: by kind (`parameters`, `gradients`, `forward allocated`, …).
        predicted_bytes: of the same kinds, where a prediction exists.
        peaks: how fast the device can be: flop/s by dtype, bytes/s under `copy`.
        analysis: the count of the same network, when it could be made.
    """

    model: str
    input: InputSpec
    environment: Environment
    phases: Mapping[str, Measurement] = field(default_factory=dict)
    layers: tuple[LayerTime, ...] = ()
    attributed: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)
    keywords: tuple[tuple[str, str], ...] = ()
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()
    predicted_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the measurement early."""
        return INTERRUPTED in self.notes

    @property
    def passes(self) -> int:
        """Forward passes of the batch in a step; a traced one may have several."""
        fact = self.environment.fact("passes") or ""
        is_number = fact.isdecimal() and len(fact) <= 3  # a file may hold anything
        return max(1, int(fact)) if is_number else 1

    def throughput(self, phase: str) -> float:
        """Samples per second of a phase."""
        batch = self.input.batch
        if not isinstance(batch, int):
            raise TypeError("a measured input has a numeric batch")
        return batch * self.passes / self.phases[phase].median


@dataclass(frozen=True)
class BatchSweep:
    """Profiles of one network on one device, by rising batch."""

    profiles: tuple[Profile, ...]
