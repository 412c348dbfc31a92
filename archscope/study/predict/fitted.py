"""A device that was fitted to the user's measurements → what they say of it."""

from __future__ import annotations

from archscope.latency.calibration import Calibrated
from archscope.table import Column, Report, Row, Table

FACTORS = (
    Column("kind", "Kind of work", "name"),
    Column("compute", "Arithmetic", "ratio"),
    Column("memory", "Bandwidth", "ratio"),
)


def sentence(found: Calibrated) -> str:
    """How much of its prediction the device reaches."""
    every = found.factors["*"]
    return (
        f"{found.device.name} reaches {every.compute:.2f}× of the arithmetic and "
        f"{every.memory:.2f}× of the bandwidth that was predicted for it, by {found.rows} layers"
    )


def fit_report(found: Calibrated) -> Report:
    """The factors by which its measurements correct a device.

    Args:
        found: the device with its factors.
    """
    rows = tuple(
        Row(("all" if kind == "*" else kind, factor.compute, factor.memory))
        for kind, factor in found.factors.items()
    )
    note = "Each factor multiplies the rate that was predicted before."
    table = Table(f"Factors of {found.device.name}", FACTORS, rows, (note,))
    return Report(found.device.name, (table,), answer=f"{sentence(found)}.")
