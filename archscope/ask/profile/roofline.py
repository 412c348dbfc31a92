"""Profile → how near each layer comes to what the device could do, and what holds it back.

The roofline model (Williams, Waterman and Patterson 2009, "Roofline: an insightful visual
performance model for multicore architectures"): a layer cannot run faster than the arithmetic
peak, nor faster than its bytes can be moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archscope.records import Layer, LayerTime, Profile, Work
from archscope.records.measured import COPY, ROOF_OF
from archscope.wording import layer_labels

Bound = Literal["compute-bound", "memory-bound", "launch-bound", "latency/occupancy-limited"]

IDLE_LIMIT = 0.20
SHORT_KERNEL_SECONDS = 5e-6
NEAR_ROOF = 0.60

ABOVE = 1.05
"""A rate of more than this multiple of the compute roof is no rounding of either."""


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
    def operations_per_byte(self) -> float | None:
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
    counted = counted_calls(profile)
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


def counted_calls(profile: Profile) -> Mapping[tuple[str, int], Layer]:
    """The counted calls by name and index, as layer times name them.

    A traced step may have several forward passes: those of the second follow those of the first.
    """
    if profile.analysis is None:
        return {}
    once = [layer for layer in profile.analysis.calls if layer.called]
    calls = Counter(layer.name for layer in once)
    return {
        (layer.name, layer.call + number * calls[layer.name]): layer
        for number in range(profile.passes)
        for layer in once
    }


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
