"""What makes a prediction less sure than its interval says, or impossible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archscope.errors import ArchscopeError
from archscope.latency.devices import Device
from archscope.latency.kernel import Kernel
from archscope.latency.model import Seconds
from archscope.latency.rates import Rates
from archscope.parameters import parameter
from archscope.records import Execution
from archscope.units import percent, seconds

SHORTEST, LONGEST = 1e-3, 20.0
"""Steps of nearly all measured networks, in seconds."""

FAR = 2
"""Times beyond them from which on a step is far outside."""

STRANGE = 0.05
"""Share of the time in work that nobody measured from which on it is named."""

STRANGEST = 0.25
"""Likewise from which on the interval is that of an unmeasured device."""

SPATIAL = 2
"""Spatial axes of every convolution that was measured."""

Timed = Sequence[tuple[Kernel, Seconds]]


def require_rate(device: Device, dtype: str) -> None:
    """Refuse a dtype that a device has no arithmetic for.

    Raises:
        ArchscopeError: it has none.
    """
    needed = {"bfloat16": "bfloat16", "tf32": "tf32"}.get(dtype)
    if needed and needed not in device.peak_flops_per_second:
        raise ArchscopeError(
            parameter("dtype", dtype),
            f"{device.name} has no rate for it",
            "use one of amp, float16, float32",
        )


def interval_of(timed: Timed, rates: Rates) -> tuple[float, float]:
    """The 80 % interval: that of the table, or a wider one where much work was not measured.

    So it is, too, where another table's host takes longer to start the kernels than these take.
    """
    low, high = rates.interval
    kernels = sum(found.total for _, found in timed)
    starting = rates.host_seconds * sum(kernel.launches for kernel, _ in timed)
    foreign = rates.borrows_host and starting > kernels
    if not foreign and strange_share(timed, rates) < STRANGEST:
        return low, high
    widest = rates.given.unmeasured_layers if rates.layer else rates.given.unmeasured
    return min(low, widest[0]), max(high, widest[1])


def strange_share(timed: Timed, rates: Rates) -> float:
    """Share of the time in kinds of work without an efficiency of their own."""
    total = sum(found.total for _, found in timed)
    strange = sum(found.total for kernel, found in timed if _is_strange(kernel, rates))
    return strange / total if total else 0.0


def _is_strange(kernel: Kernel, rates: Rates) -> bool:
    return kernel.kind not in rates.given.kinds


def doubts(execution: Execution, timed: Timed, rates: Rates, step: float) -> tuple[str, ...]:
    """Sentences about what was assumed, and what is far from everything that was measured."""
    return tuple(_doubts(execution, timed, rates, step))


def _doubts(execution: Execution, timed: Timed, rates: Rates, step: float) -> Iterator[str]:
    if rates.shared_host:
        yield (
            f"All GPUs are on one host, which starts a kernel in {seconds(rates.host_seconds)} as "
            f"that of the measurements on {rates.shared_host}."
        )
    share = strange_share(timed, rates)
    if share > STRANGE:
        kinds = {kernel.kind for kernel, _ in timed if _is_strange(kernel, rates)}
        taken = sorted({rates.nearest(kind) for kind in kinds})
        yield (
            f"{percent(share)} of the time is in work that no measured network holds "
            f"({', '.join(sorted(kinds))}): it is taken as {', '.join(taken)}."
        )
    axes = sorted(set(_other_axes(execution)))
    if axes:
        names = " and ".join(f"{number}-D" for number in axes)
        yield f"Its {names} convolutions were not measured: they are taken as 2-D ones."
    if not SHORTEST <= step <= LONGEST:
        usual = f"{seconds(SHORTEST)} to {seconds(LONGEST)}"
        far = "far " if not SHORTEST / FAR <= step <= LONGEST * FAR else ""
        yield f"The steps of measured networks take {usual}: this one is {far}outside."


def _other_axes(execution: Execution) -> Iterable[int]:
    for run in execution.runs:
        if run.name == "convolution" and len(run.inputs[1].shape) != SPATIAL + 2:
            yield len(run.inputs[1].shape) - 2
