"""A trace → every operator and kernel with the module call that it works for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
) -> Attribution:
    """Find steps and owners.

    Args:
        trace: as read; its events get owners.
        owned: owners of forward operators, where an alignment found them.
        passes: host times of the forward passes that an alignment found.
    """
    steps = steps_of.find(trace, passes)
    owners.assign(trace, steps, owned)
    return Attribution(trace, steps)
