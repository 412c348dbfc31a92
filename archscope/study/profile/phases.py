"""Profile → seconds by phase: the columns that the tables of stages and of layers share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from archscope.records import LayerTime, Profile
from archscope.records.measured import PROFILER_OVERHEAD
from archscope.table import Column
from archscope.traces.rows import OVERLAP

PHASES = ("forward", "backward", "accumulation", "recompute", "optimizer")
"""Columns of the layer tables, in this order, where any row has such time."""


COLUMNS_NOTE = (
    "Accumulation: adding gradients up; MACs: share of those forward and backward; Other: time of "
    "no phase; Total: of all phases, those left out at a narrow width too."
)


OVERLAP_NOTE = (
    f"{OVERLAP}: rows have the time of all their kernels, and this one takes off what kernels of "
    f"several streams take at once, so that a row's share of the step may exceed 100 %. "
)


TIMED_BACKWARD = " The timed backward holds accumulation too."


WAITS_NOTE = "Waits: the last row, attributed to the layers that the profiled steps wait for. "


FASTEST_PROFILED = 0.9
"""Profiled steps that take a smaller multiple of the others were disturbed less."""


DISTURBED = (
    "Faster than without a profiler: other programs slowed the timed steps; try an idle machine."
)


def profiled_seconds(profile: Profile) -> float:
    """Seconds of the profiled step, of which the rows give their shares."""
    return sum(row.total_seconds for row in profile.layers if not row.is_cost_of_measuring)


OTHER = "other"
"""Column of all that is of no phase: waiting, what the profiler costs, a stage of its own."""


MINOR = frozenset({"accumulation", "optimizer"})
"""Phases whose columns a narrow terminal leaves out; the total holds them."""


WAITS = (Column("waiting_seconds", "Waits", "seconds", 2),)


def has_waits(profile: Profile) -> bool:
    """Whether the rows say how long the device waited for them, as those of a trace do."""
    return any(row.waiting_seconds for row in profile.layers)


def phase_columns(profile: Profile) -> list[str]:
    found = {phase for row in profile.layers for phase in row.seconds}
    rest = [OTHER] if found - set(PHASES) else []
    return [phase for phase in PHASES if phase in found] + rest


def by_column(row: LayerTime) -> Mapping[str, float]:
    """A row's seconds with those of no phase together."""
    sums = {phase: seconds for phase, seconds in row.seconds.items() if phase in PHASES}
    rest = [seconds for phase, seconds in row.seconds.items() if phase not in PHASES]
    return {**sums, OTHER: sum(rest)} if rest else sums


def time_columns(first: Column, phases: Sequence[str]) -> tuple[Column, ...]:
    return (
        first,
        *(
            Column(f"{phase}_seconds", phase.capitalize(), "seconds", int(phase in MINOR))
            for phase in phases
        ),
        Column("total_seconds", "Total", "seconds"),
        Column("time_share", "Time", "percent"),
    )


RESIDUE = 1e-9
"""Of what is added up: a smaller sum is what rounding leaves of seconds that cancel."""


def summed(seconds: Sequence[float]) -> float | None:
    """Their sum, `None` where they cancel."""
    found = math.fsum(seconds)
    return found if abs(found) > RESIDUE * max(map(abs, seconds), default=0.0) else None


def basis(profile: Profile) -> str:
    """What the seconds of the rows are, and by what they add up to the step."""
    if profile.environment.fact("trace"):
        own = "kernels" if profile.environment.device != "cpu" else "operators"
        overlap = OVERLAP_NOTE if any(row.name == OVERLAP for row in profile.layers) else ""
        return (
            f"Busy time of {own}, the mean of the traced steps without their fastest and slowest "
            f"quarter. Launches: {own}. {overlap}{COLUMNS_NOTE}"
        )
    if profile.environment.device.startswith("cuda"):
        return (
            "Busy time of kernels; the last row is the rest of the latency measured without a "
            f"profiler. Launches: kernels. {WAITS_NOTE if has_waits(profile) else ''}{COLUMNS_NOTE}"
            f"{TIMED_BACKWARD}"
        )
    whole = sum(row.total_seconds for row in profile.layers)
    times = profiled_seconds(profile) / whole
    hint = f" {DISTURBED}" if times < FASTEST_PROFILED else ""
    return (
        f"Rows are from profiled steps, which take {times:.2f} times as long as the step timed "
        f"without profiler; {PROFILER_OVERHEAD} is the difference.{hint} "
        f"Time: share of the profiled step. Launches: operators. {COLUMNS_NOTE}{TIMED_BACKWARD}"
    )
