"""Profile → how near each layer comes to what the device could do, and what holds it back.

The roofline model (Williams, Waterman and Patterson 2009, "Roofline: an insightful visual
performance model for multicore architectures"): a layer cannot run faster than the arithmetic
peak, nor faster than its bytes can be moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archscope.records import Analysis, Layer, LayerTime, Profile, Work
from archscope.records.measured import COPY, ROOF_OF
from archscope.study import lower_bound
from archscope.study.tree import layer_labels
from archscope.table import Axis, Chart, Column, Row, Series, Table
from archscope.units import si

Bound = Literal["compute-bound", "memory-bound", "launch-bound", "latency/occupancy-limited"]

IDLE_LIMIT = 0.20
SHORT_KERNEL_SECONDS = 5e-6
NEAR_ROOF = 0.60

ABOVE = 1.05
"""A rate of more than this multiple of the compute roof is no rounding of either."""

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

TOO_FAST = (
    "Rates above the compute roof mean that the roof was measured while the device was busy or "
    "clocked lower, or that an algorithm such as Winograd's multiplies less than is counted."
)

BOUNDED = frozenset({"intensity", "operations_per_second", "roof_share"})
"""The keys of what an operator without a formula makes a lower bound."""

MOST_PASSES = 20
"""Rows of the table, without that of the whole step."""

COLUMNS = (
    Column("name", "Layer", "name"),
    Column("kind", "Kind", "text", 4),
    Column("phase", "Pass", "text"),
    Column("seconds", "Time", "seconds"),
    Column("intensity", "Op/byte", "decimal", 2),
    Column("operations_per_second", "Op/s", "flops_per_second", 1),
    Column("bytes_per_second", "Bytes/s", "bytes_per_second", 1),
    Column("roof_share", "Of roof", "percent"),
    Column("bound", "Class", "text"),
)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Keys of the compute roofs that hold for a network.

    They part on GPUs, where PyTorch's default rounds float32 to TF32 in convolutions only.

    Args:
        convolutions: for the products in which a kernel slides.
        others: for all other work.
    """

    convolutions: str
    others: str


@dataclass(frozen=True, slots=True)
class Roofs:
    """What the device can do at most.

    Args:
        convolutions: operations a second of the products in which a kernel slides.
        others: operations a second of all other work.
        bytes_per_second: to and from memory.
    """

    convolutions: float
    others: float
    bytes_per_second: float

    def compute_seconds(self, point: Point) -> float:
        """The shortest time that the arithmetic can take."""
        others = point.operations - point.convolutions
        return point.convolutions / self.convolutions + others / self.others

    def memory_seconds(self, point: Point) -> float:
        """The shortest time in which the bytes can be moved."""
        return point.moved_bytes / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class Point:
    """One layer's pass on the roofline.

    Args:
        seconds: busy time.
        operations, moved_bytes: work in that time.
        convolutions: those of the operations that are products in which a kernel slides.
        launches: kernels a pass, 0 on the host.
    """

    name: str
    kind: str
    phase: str
    seconds: float
    operations: int
    convolutions: int
    moved_bytes: float
    launches: int = 0

    @property
    def intensity(self) -> float | None:
        return self.operations / self.moved_bytes if self.moved_bytes else None

    @property
    def operations_per_second(self) -> float:
        return self.operations / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.moved_bytes / self.seconds

    def roof_share(self, roofs: Roofs) -> float:
        """Share of the nearer roof that is reached: shortest possible time over time taken."""
        return max(roofs.compute_seconds(self), roofs.memory_seconds(self)) / self.seconds

    def bound(self, roofs: Roofs, idle: float = 0.0) -> Bound:
        """What holds it back, by `RULE`; `idle` is the step's share of idle time."""
        if idle > IDLE_LIMIT or (
            self.launches and self.seconds / self.launches < SHORT_KERNEL_SECONDS
        ):
            return "launch-bound"
        if self.roof_share(roofs) < NEAR_ROOF:
            return "latency/occupancy-limited"
        compute = roofs.compute_seconds(self) >= roofs.memory_seconds(self)
        return "compute-bound" if compute else "memory-bound"


def roofs(profile: Profile) -> Roofs | None:
    """The roofs that hold for this profile's arithmetic, `None` where they were not measured."""
    keys, rates = arithmetic(profile), profile.peaks
    if keys is None or not {keys.convolutions, keys.others, COPY} <= rates.keys():
        return None
    return Roofs(rates[keys.convolutions], rates[keys.others], rates[COPY])


BYTES_OF = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2}


def network_dtype(profile: Profile) -> str:
    """Name of the dtype of the network's weights when it was measured."""
    return profile.environment.fact("network dtype") or "float32"


def _dtype_roof(profile: Profile) -> str | None:
    """Key of the roof of the dtype that it computes in, TF32 aside."""
    return ROOF_OF.get(profile.environment.fact("autocast") or network_dtype(profile))


def arithmetic(profile: Profile) -> Arithmetic | None:
    """Which of the peaks hold: the dtypes in which the device multiplies.

    `None` for a network in whole numbers or quantised.
    """
    key = _dtype_roof(profile)
    if key is None:
        return None
    convolutions, others = (
        "tf32" if key == "fp32" and profile.environment.fact(name) == "TF32" else key
        for name in ("convolutions", "matrix products")
    )
    return Arithmetic(convolutions, others)


def exceeds_roof(profile: Profile) -> bool:
    """Whether a layer ran faster than the compute roof allows."""
    limits = roofs(profile)
    return limits is not None and any(
        limits.compute_seconds(point) > ABOVE * point.seconds for point in points(profile)
    )


def idle_share(profile: Profile) -> float:
    """Share of the step in which the device had nothing to do."""
    total = sum(row.total_seconds for row in profile.layers)
    idle = sum(row.seconds.get("idle", 0.0) for row in profile.layers)
    return idle / total if total else 0.0


def points(profile: Profile) -> list[Point]:
    """One point a layer and pass that was both timed and counted; views do no work."""
    return [point for _, point in layer_points(profile)]


def layer_points(profile: Profile) -> list[tuple[Layer, Point]]:
    """The same with the layer of each."""
    if profile.analysis is None:
        return []
    counted = work_by_call(profile.analysis)
    labels = layer_labels(row.name for row in profile.layers if row.in_network)
    on_device = not profile.environment.device.startswith("cpu")
    width = _byte_width(profile)
    found = []
    for row in profile.layers:
        layer = counted.get((row.name, row.call)) if row.in_network else None
        if layer is None:
            continue
        named = replace(row, name=labels[row.name])
        for phase, work in (("forward", layer.forward), ("backward", layer.backward)):
            seconds = row.seconds.get(phase, 0.0)
            if work is not None and work.operators and seconds > 0:
                launches = _launches(row, phase) if on_device else 0
                point = _point(named, phase, seconds, work, width, launches)
                found.append((layer, point))
    return found


def _point(
    row: LayerTime, phase: str, seconds: float, work: Work, width: float, launches: int
) -> Point:
    operations, convolutions = _operations([work])
    moved = work.bytes_moved * width
    return Point(row.name, row.kind, phase, seconds, operations, convolutions, moved, launches)


def _operations(works: Sequence[Work]) -> tuple[int, int]:
    """All operations, and those of them that are products in which a kernel slides."""
    products = [product for work in works for product in work.cost.products]
    convolutions = sum(2 * product.value for product in products if product.is_convolution)
    return sum(2 * work.macs + work.elementwise for work in works), convolutions


def work_by_call(analysis: Analysis) -> Mapping[tuple[str, int], Layer]:
    """The counted calls by name and index, as layer times name them."""
    return {(layer.name, layer.call): layer for layer in analysis.calls if layer.called}


def _launches(row: LayerTime, phase: str) -> int:
    """Kernels of one pass: the row's, shared out by time."""
    return max(1, round(row.launches * row.seconds[phase] / row.total_seconds))


def _byte_width(profile: Profile) -> float:
    """Bytes of the dtype computed in over those of the count, which has the network's own dtype."""
    counted = ROOF_OF.get(profile.environment.fact("converted from") or network_dtype(profile))
    computed = _dtype_roof(profile)
    if counted is None or computed is None:
        return 1.0
    return BYTES_OF[computed] / BYTES_OF[counted]


def total_point(profile: Profile) -> Point | None:
    """The whole step: all that was counted over all its time, idle time included."""
    seconds = sum(row.total_seconds for row in profile.layers)
    if profile.analysis is None or not seconds:
        return None
    training = any("backward" in row.seconds for row in profile.layers)
    works = [layer.forward for layer in profile.analysis.calls]
    if training:
        works += [layer.backward for layer in profile.analysis.calls if layer.backward is not None]
    return Point(
        "whole step",
        "",
        "all",
        seconds,
        *_operations(works),
        sum(work.bytes_moved for work in works) * _byte_width(profile),
    )


def roofline_note(profile: Profile) -> str | None:
    """Why there is no roofline though the device's roofs were measured; `None` where there is."""
    if not profile.peaks or profile.analysis is None or roofs(profile) is not None:
        return None
    return f"No roofline: there is no roof for arithmetic in {network_dtype(profile)}."


def roofline_table(profile: Profile) -> Table | None:
    """Rates, share of the roof and class of the layers that take the most time, and in total.

    `None` where the device's roofs or the counts are missing.
    """
    limits, whole, parts = roofs(profile), total_point(profile), layer_points(profile)
    if limits is None or whole is None or profile.analysis is None:
        return None
    few = len(parts) <= MOST_PASSES
    slowest = sorted(parts, key=lambda part: -part[1].seconds)[:MOST_PASSES]
    coverage = profile.analysis.coverage
    rows = [
        Row(_cells(point, limits, 0.0), lower_bound=_bound(layer.name in coverage.unknown_layers))
        for layer, point in slowest
    ]
    cells = _cells(whole, limits, idle_share(profile))
    rows.append(Row(cells, "total", lower_bound=_bound(not coverage.complete)))
    missing = lower_bound.gap(coverage)
    source = profile.environment.fact("roofs") or "unknown source"
    shown = "" if few else f"The {len(slowest)} slowest of {len(parts)} passes. "
    roof_text = f"Roofs ({source}): {_roof_text(_rates(profile, limits, whole), limits)}"
    rule = HOST_RULE if profile.environment.device.startswith("cpu") else RULE
    title = f"Roofline of {profile.model}, batch {profile.input.batch}"
    doubt = [TOO_FAST] if exceeds_roof(profile) else []
    doubt += [lower_bound.note(missing)] if missing else []
    return Table(title, COLUMNS, tuple(rows), (shown + roof_text, *doubt, OPERATIONS, rule))


def _bound(missing: bool) -> frozenset[str]:
    return BOUNDED if missing else frozenset()


def _rates(profile: Profile, limits: Roofs, whole: Point) -> dict[str, float]:
    """Operations a second by the arithmetic that the network uses, that of convolutions first."""
    keys = arithmetic(profile)
    assert keys is not None
    used = {keys.convolutions: limits.convolutions} if whole.convolutions else {}
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
        point.intensity,
        point.operations_per_second,
        point.bytes_per_second,
        point.roof_share(limits),
        point.bound(limits, idle),
    )


def roofline_chart(profile: Profile) -> Chart | None:
    """Layers by arithmetic intensity and rate, bubbles by time, under the roofs."""
    limits, whole = roofs(profile), total_point(profile)
    parts = [p for p in points(profile) if p.operations and p.moved_bytes]
    if limits is None or whole is None or not parts:
        return None
    longest = max(point.seconds for point in parts)
    series = []
    for phase in ("forward", "backward"):
        chosen = [point for point in parts if point.phase == phase]
        if chosen:
            series.append(
                Series(
                    phase,
                    tuple(point.operations / point.moved_bytes for point in chosen),
                    tuple(point.operations_per_second for point in chosen),
                    labels=tuple(
                        point.name if point.seconds > longest / 2 else "" for point in chosen
                    ),
                    sizes=tuple(point.seconds / longest for point in chosen),
                )
            )
    rates = _rates(profile, limits, whole)
    left = min(point.operations / point.moved_bytes for point in parts) / 2
    ridge = max(rates.values()) / limits.bytes_per_second
    right = max(4 * ridge, *(2 * p.operations / p.moved_bytes for p in parts))
    lines = [
        _roof_line(f"roof in {key}" if len(rates) > 1 else "roof", rate, limits, left, right)
        for key, rate in rates.items()
    ]
    return Chart(
        f"Roofline of {profile.model} on {profile.environment.fact('device name')}",
        "scatter",
        Axis("operations per byte", "decimal", log=True),
        Axis("operations per second", "flops_per_second", log=True),
        tuple(series),
        lines=tuple(lines),
        notes=("Bubble area: time; named where it is over half the longest. " + OPERATIONS,),
    )


def _roof_line(name: str, rate: float, limits: Roofs, left: float, right: float) -> Series:
    """Rising with the bytes up to the ridge, and flat from there on."""
    ridge = rate / limits.bytes_per_second
    return Series(name, (left, ridge, right), (left * limits.bytes_per_second, rate, rate))
