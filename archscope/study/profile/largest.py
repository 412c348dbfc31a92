"""The largest batch that runs → an answer and its numbers."""

from __future__ import annotations

from archscope.ask.profile.measured import LargestBatch
from archscope.measure.session import Plan
from archscope.table import Column, Report, Row, Table
from archscope.units import binary_bytes

LARGEST = (
    Column("model", "Model", "name"),
    Column("batch", "Largest batch", "exact"),
    Column("peak_bytes", "Peak", "bytes"),
    Column("bound_bytes", "Bound", "bytes"),
    Column("available_bytes", "Available", "bytes"),
)


def largest_report(name: str, plan: Plan, found: LargestBatch) -> Report:
    """What was found, in a sentence and a row.

    Args:
        name: of the network.
        plan: how it ran.
        found: the largest batch.
    """
    bound = (
        f"the bound was {binary_bytes(found.bound_bytes)}, "
        f"{100 * found.bound_bytes / found.available_bytes:.0f} % of the "
        f"{binary_bytes(found.available_bytes)} available"
    )
    runs = f"batch {found.batch} runs" if found.batch else "even one sample does not fit"
    peak = f", with a peak of {binary_bytes(found.peak_bytes)}" if found.batch else ""
    title = f"{name}, {plan.modes[0]} on {plan.settings.device}"
    row = Row(
        (name, found.batch, found.peak_bytes or None, found.bound_bytes, found.available_bytes)
    )
    table = Table(title, LARGEST, (row,))
    return Report(title, (table,), answer=f"{title}: {runs}{peak}; {bound}.")
