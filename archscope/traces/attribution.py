"""A trace → every operator and kernel with the module call that it works for."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from archscope.traces import owners
from archscope.traces import steps as steps_of
from archscope.traces.events import Call, Event, Trace
from archscope.traces.join import Credit, credits
from archscope.traces.rows import LayerTimes, layer_times
from archscope.traces.steps import Steps


@dataclass(frozen=True)
class Attribution:
    """A trace whose host events have owners.

    Args:
        trace: of one rank.
        steps: of the trace.
    """

    trace: Trace
    steps: Steps

    @cached_property
    def credits(self) -> Sequence[Credit]:
        """What the device, or without one the host, was busy with."""
        return credits(self.trace, self.steps)

    def times(self, latency: float | None = None) -> LayerTimes:
        """The table of a step; see `layer_times`."""
        return layer_times(self.trace, self.steps, self.credits, latency)


def attribute(
    trace: Trace,
    owned: Mapping[Event, Call] | None = None,
    passes: Sequence[tuple[int, int]] = (),
    others: Sequence[tuple[int, int]] = (),
) -> Attribution:
    """Find steps and owners.

    Args:
        trace: as read; its events get owners.
        owned: owners of forward operators, where an alignment found them.
        passes: host times of the forward passes that an alignment found.
        others: the same of passes on inputs of other sizes, which begin no step.
    """
    steps = steps_of.find(trace, passes)
    owners.assign(trace, steps, _by_call(owned or {}, passes, others, steps))
    return Attribution(trace, steps)


def _by_call(
    owned: Mapping[Event, Call],
    passes: Sequence[tuple[int, int]],
    others: Sequence[tuple[int, int]],
    steps: Steps,
) -> Mapping[Event, Call]:
    """Owners whose calls are counted by step, as a step may have several forward passes.

    Those on the size that was counted come first, so that the same calls have their MACs.
    """
    numbers = _numbers(passes, steps)
    behind = max(numbers.values(), default=-1) + 1
    numbers |= {start: behind + number for start, number in _numbers(others, steps).items()}
    if not any(numbers.values()):
        return owned
    counts: Counter[str] = Counter()
    for call in owned.values():
        counts[call.name] = max(counts[call.name], call.index + 1)
    starts = sorted(numbers)
    made: dict[tuple[Call, int], Call] = {}
    found: dict[Event, Call] = {}
    for event, call in owned.items():
        number = numbers[starts[max(0, bisect.bisect_right(starts, event.start) - 1)]]
        later = replace(call, index=call.index + number * counts[call.name])
        found[event] = made.setdefault((call, number), later) if number else call
    return found


def _numbers(passes: Sequence[tuple[int, int]], steps: Steps) -> dict[int, int]:
    """The number of each pass in its step, by its start."""
    seen: Counter[int | None] = Counter()
    found: dict[int, int] = {}
    for start, _ in passes:
        step = steps.at(start)
        found[start] = seen[step]
        seen[step] += 1
    return found
