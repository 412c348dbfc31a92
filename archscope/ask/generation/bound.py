"""The shortest time that a device's data sheet allows for a generation."""

from __future__ import annotations

from archscope.latency.devices import Device
from archscope.records.generation import Bound, Generation, StepCost


def bound(found: Generation, device: Device) -> Bound:
    """Flops at the peak rate, or weights and cache at the bandwidth, whichever takes longer.

    Steps between the first and the last of a piece take the mean of both.

    Args:
        found: what was counted.
        device: its data sheet.
    """
    rate = device.peak(found.dtype.split(",")[0])

    def seconds(cost: StepCost) -> float:
        return max(cost.flops / rate, cost.least_bytes / device.bandwidth_bytes_per_second)

    total = seconds(found.prefill)
    for piece in found.pieces:
        total += piece.steps * (seconds(piece.first) + seconds(piece.last)) / 2
    ends = (found.pieces[0].first, found.pieces[-1].last) if found.pieces else ()
    calls = tuple(seconds(cost) for cost in (found.prefill, *ends))
    return Bound(device.name, calls, total)
