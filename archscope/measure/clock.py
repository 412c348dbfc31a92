"""Clocks: what a caller waits for, and what the device's own stream takes.

`WallClock` is latency: one repetition at a time, synchronised before and after each stage.
`StreamClock` is CUDA events between back-to-back repetitions with one synchronisation at the end:
device throughput, or the launch rate where the host is the slower side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from archscope.measure.sampling import Laps

Stage = Callable[[], object]


def nothing() -> None:
    """The synchronisation of a CPU, which never runs ahead."""


def synchronizer(device: torch.device) -> Callable[[], None]:
    """What waits until a device has done all it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return nothing


@dataclass(frozen=True)
class WallClock:
    """Latency of each stage, in seconds of `time.perf_counter`.

    Args:
        stages: run in order, each to its end, in every repetition.
        synchronize: waits for the device.
        before: run before each repetition, untimed.
    """

    stages: Sequence[Stage]
    synchronize: Callable[[], None] = nothing
    before: Stage = nothing

    def laps(self, count: int) -> list[Laps]:
        return [self._one() for _ in range(count)]

    def _one(self) -> Laps:
        self.before()
        self.synchronize()
        laps = []
        begin = time.perf_counter()
        for stage in self.stages:
            stage()
            self.synchronize()
            end = time.perf_counter()
            laps.append(end - begin)
            begin = end
        return tuple(laps)


@dataclass(frozen=True)
class StreamClock:
    """Time between CUDA events around each stage, repetitions queued back to back."""

    stages: Sequence[Stage]
    device: torch.device
    before: Stage = nothing

    def laps(self, count: int) -> list[Laps]:
        with torch.cuda.device(self.device):
            marks = [self._queue() for _ in range(count)]
            torch.cuda.synchronize(self.device)
        return [
            tuple(begin.elapsed_time(end) / 1e3 for begin, end in pairwise(events))
            for events in marks
        ]

    def _queue(self) -> list[torch.cuda.Event]:
        """Launch one repetition with an event before, between and behind its stages."""
        self.before()
        events = [_event() for _ in range(len(self.stages) + 1)]
        events[0].record()
        for stage, event in zip(self.stages, events[1:], strict=True):
            stage()
            event.record()
        return events


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def cold_cache(device: torch.device) -> Stage:
    """A stage that overwrites the device's second-level cache: twice its size, 256 MiB at least."""
    size = 256 << 20
    if device.type == "cuda":
        size = max(size, 2 * torch.cuda.get_device_properties(device).L2_cache_size)
    scratch = torch.empty(size, dtype=torch.int8, device=device)
    return scratch.zero_
