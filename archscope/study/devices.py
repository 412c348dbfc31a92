"""The devices that have a data sheet, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.latency.coefficients import fitted
from archscope.latency.devices import Device
from archscope.parameters import parameter
from archscope.table import Column, Report, Row, Table
from archscope.units import plural

LISTING = (
    Column("key", "Name", "name"),
    Column("name", "Device", "text"),
    Column("half_flops_per_second", "16 bits", "flops_per_second"),
    Column("float_flops_per_second", "float32", "flops_per_second"),
    Column("bandwidth_bytes_per_second", "Bandwidth", "bytes_per_second"),
    Column("memory_bytes", "Memory", "bytes", 1),
    Column("watts", "Watts", "exact", 2),
    Column("measured", "Measured", "text", 1),
    Column("source", "Source", "text", 3),
)


def devices_report(found: Sequence[Device]) -> Report:
    """Names and rates of devices, and which of them were measured.

    Args:
        found: their data sheets.
    """
    measured = {table.device for table in fitted().measured}
    rows = tuple(
        Row(
            (
                device.key,
                device.name,
                device.peak("float16"),
                device.peak("float32"),
                device.bandwidth_bytes_per_second,
                device.memory_bytes,
                device.watts,
                "yes" if device.key in measured else None,
                device.source,
            )
        )
        for device in found
    )
    own = sum(device.key in measured for device in found)
    notes = (
        "Rates are the highest of the data sheet, dense. Predictions for a device that was "
        "measured come from public measurements of it, the others from its data sheet and the "
        "most similar one that was.",
        f"A device that is not listed is given by its rates, {parameter('peak')} and "
        f"{parameter('bandwidth')}, or by a device file that predict {parameter('fit', True)} "
        "makes of your own measurements.",
    )
    count = plural(len(found), "device")
    answer = f"{count} with a data sheet, {own} of them measured."
    return Report(count, (Table(count, LISTING, rows, notes),), answer=answer)
