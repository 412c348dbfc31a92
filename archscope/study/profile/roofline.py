"""The roofline of a Profile as a table and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archscope import wording
from archscope.ask.profile.roofline import (
    IDLE_LIMIT,
    NEAR_ROOF,
    SHORT_KERNEL_SECONDS,
    Point,
    Roofs,
    arithmetic,
    exceeds_roof,
    idle_share,
    layer_points,
    network_dtype,
    points,
    roofs,
    total_point,
)
from archscope.records import Profile
from archscope.table import Axis, Chart, Column, Row, Series, Table
from archscope.units import si
from archscope.wording import network_title

HOST_RULE = (
    f"Class: compute-bound or memory-bound where the nearer roof is reached to "
    f"{100 * NEAR_ROOF:.0f} % or more; else latency/occupancy-limited."
)
RULE = (
    f"Class: launch-bound where the device idles for more than {100 * IDLE_LIMIT:.0f} % of the "
    f"step or a layer's mean kernel is shorter than {1e6 * SHORT_KERNEL_SECONDS:.0f} µs; else "
    + HOST_RULE.removeprefix("Class: ")
)
OPERATIONS = (
    "Operations: 2 × MACs plus elementwise operations. "
    "Bytes: distinct inputs and outputs of each operator once, of a table the rows that are looked "
    "up, so a rate above the memory roof means that data came from a cache."
)

FEWER_PRODUCTS = "an algorithm such as Winograd's multiplies less than is counted"
PUBLISHED = "data sheet"
"""How the source of roofs begins that nobody measured."""

BOUNDED = frozenset({"operations_per_byte", "operations_per_second", "roof_share"})
"""The keys of what an operator without a formula makes a lower bound."""

MOST_PASSES = 20
"""Rows of the table, without that of the whole step."""

COLUMNS = (
    Column("name", "Layer", "name"),
    Column("kind", "Kind", "text", 4),
    Column("phase", "Pass", "text"),
    Column("seconds", "Time", "seconds"),
    Column("operations_per_byte", "Op/byte", "decimal", 2),
    Column("operations_per_second", "Op/s", "flops_per_second", 1),
    Column("bytes_per_second", "Bytes/s", "bytes_per_second", 1),
    Column("roof_share", "Of roof", "percent"),
    Column("bound", "Class", "text"),
)


def roofline_note(profile: Profile) -> str | None:
    """Why there is no roofline though the device's roofs were measured; `None` where there is."""
    if not profile.peaks or profile.analysis is None or roofs(profile) is not None:
        return None
    return f"No roofline: no roof is known for arithmetic in {network_dtype(profile)}."


def roofline_table(profile: Profile) -> Table | None:
    """Rates, share of the roof and class of the layers that take the most time, and in total.

    `None` where the device's roofs or the counts are missing.
    """
    limits, total, parts = roofs(profile), total_point(profile), layer_points(profile)
    if limits is None or total is None or profile.analysis is None:
        return None
    few = len(parts) <= MOST_PASSES
    slowest = sorted(parts, key=lambda part: -part[1].seconds)[:MOST_PASSES]
    coverage = profile.analysis.coverage
    rows = [
        Row(_cells(point, limits, 0.0), lower_bound=_bound(layer.name in coverage.unknown_layers))
        for layer, point in slowest
    ]
    cells = _cells(total, limits, idle_share(profile))
    rows.append(Row(cells, "total", lower_bound=_bound(not coverage.complete)))
    missing = wording.missing_formulas(coverage)
    source = profile.environment.fact("roofs") or "unknown source"
    shown = "" if few else f"The {len(slowest)} slowest of {len(parts)} passes. "
    roof_text = f"Roofs ({source}): {_roof_text(used_rates(profile, limits), limits)}"
    rule = HOST_RULE if profile.environment.device.startswith("cpu") else RULE
    columns, rows, same = _told_apart(rows)
    title = (
        f"Roofline of {network_title(profile.model, profile.keywords)}, batch {profile.input.batch}"
    )
    doubt = list(above_roof(profile))
    doubt += [wording.lower_bound_note(missing)] if missing else []
    return Table(title, columns, tuple(rows), (shown + roof_text, *doubt, OPERATIONS, *same, rule))


def _told_apart(rows: list[Row]) -> tuple[tuple[Column, ...], list[Row], list[str]]:
    """Without the column of classes where all are of one, which is said instead."""
    classes = {str(row.cells[-1]) for row in rows}
    if len(classes) > 1:
        return COLUMNS, rows, []
    rows = [replace(row, cells=row.cells[:-1]) for row in rows]
    return COLUMNS[:-1], rows, [f"All of these are {classes.pop()}."]


def above_roof(profile: Profile) -> tuple[str, ...]:
    """Why some layers are above the compute roof, where some are."""
    if not exceeds_roof(profile):
        return ()
    published = (profile.environment.fact("roofs") or "").startswith(PUBLISHED)
    other = (
        "the device computes in a faster format (TF32 for float32)"
        if published
        else "the roof was measured while the device was busy or clocked lower"
    )
    return (f"Rates above the compute roof mean that {FEWER_PRODUCTS}, or that {other}.",)


def _bound(missing: bool) -> frozenset[str]:
    return BOUNDED if missing else frozenset()


def used_rates(profile: Profile, limits: Roofs) -> dict[str, float]:
    """Operations a second by the arithmetic that the network uses, that of convolutions first."""
    keys, total = arithmetic(profile), total_point(profile)
    assert keys is not None
    convolves = total is not None and total.convolutions
    used = {keys.convolutions: limits.convolutions} if convolves else {}
    return {**used, keys.others: limits.others}


def _roof_text(rates: Mapping[str, float], limits: Roofs) -> str:
    uses = ("",) if len(rates) == 1 else (" (convolutions)", " (all else)")
    roofs = [
        f"{si(rate)}op/s in {key}{use}"
        for (key, rate), use in zip(rates.items(), uses, strict=True)
    ]
    ridges = [f"{rate / limits.bytes_per_second:.3g}" for rate in rates.values()]
    return (
        f"{' and '.join(roofs)}, {si(limits.bytes_per_second)}B/s; "
        f"they meet at {' and '.join(ridges)} operations per byte."
    )


def _cells(
    point: Point, limits: Roofs, idle: float
) -> tuple[str, str, str, float, float | None, float, float, float, str]:
    return (
        point.name,
        point.kind,
        point.phase,
        point.seconds,
        point.operations_per_byte,
        point.operations_per_second,
        point.bytes_per_second,
        point.roof_share(limits),
        point.bound(limits, idle),
    )


def roofline_chart(profile: Profile) -> Chart | None:
    """Layers by arithmetic intensity and rate, bubbles by time, under the roofs."""
    limits, total = roofs(profile), total_point(profile)
    parts = [p for p in points(profile) if p.operations and p.moved_bytes]
    if limits is None or total is None or not parts:
        return None
    longest = max(point.seconds for point in parts)
    named = _named(parts)
    series = []
    for phase in ("forward", "backward"):
        chosen = [point for point in parts if point.phase == phase]
        if chosen:
            series.append(
                Series(
                    phase,
                    tuple(point.operations / point.moved_bytes for point in chosen),
                    tuple(point.operations_per_second for point in chosen),
                    labels=tuple(p.name if p in named else "" for p in chosen),
                    sizes=tuple(point.seconds / longest for point in chosen),
                )
            )
    rates = used_rates(profile, limits)
    left = min(point.operations / point.moved_bytes for point in parts) / 2
    ridge = max(rates.values()) / limits.bytes_per_second
    right = max(4 * ridge, *(2 * p.operations / p.moved_bytes for p in parts))
    lines = [
        _roof_line(f"roof in {key}" if len(rates) > 1 else "roof", rate, limits, left, right)
        for key, rate in rates.items()
    ]
    return Chart(
        f"Roofline of {network_title(profile.model, profile.keywords)} on "
        f"{profile.environment.fact('device name')}",
        "scatter",
        Axis("operations per byte", "decimal", log=True),
        Axis("operations per second", "flops_per_second", log=True),
        tuple(series),
        lines=tuple(lines),
        notes=(
            f"Bubble area: time; the {len(named)} slowest layers are named. {OPERATIONS}",
            *above_roof(profile),
        ),
        name="roofline",
    )


MOST_NAMED = 5
"""Layers that the chart names; more names would cover the points."""


def _named(parts: Sequence[Point]) -> list[Point]:
    """The slowest layers, each at its slower pass."""
    slowest: dict[str, Point] = {}
    for point in sorted(parts, key=lambda point: -point.seconds):
        slowest.setdefault(point.name, point)
    return list(slowest.values())[:MOST_NAMED]


def _roof_line(name: str, rate: float, limits: Roofs, left: float, right: float) -> Series:
    """Rising with the bytes up to the ridge, and flat from there on."""
    ridge = rate / limits.bytes_per_second
    return Series(name, (left, ridge, right), (left * limits.bytes_per_second, rate, rate))
