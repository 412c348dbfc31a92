"""Measured layers of a comparison by what they are: which kernels the time goes to, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archscope.ask.profile.roofline import Point, Roofs, layer_points, roofs
from archscope.records import Layer, Profile
from archscope.study.profile.roofline import above_roof
from archscope.study.stages import ELSEWHERE
from archscope.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender


LEAST = 0.01
"""Kinds below this share of every network's time stand together."""

OTHERS = "other layers"

KIND_NOTE = (
    "Time: forward and backward, of layers that were counted. Op/byte: operations over the "
    "distinct inputs and outputs of each operator. Of roof: the shortest time that the device's "
    "measured peaks allow for each layer, over the time taken."
)


@dataclass(frozen=True, slots=True)
class KindTime:
    """The layers of one kind together.

    Args:
        points: their passes.
        limits: the device's roofs, `None` where they are not known.
    """

    points: tuple[Point, ...]
    limits: Roofs | None

    @property
    def seconds(self) -> float:
        return sum(point.seconds for point in self.points)

    @property
    def operations_per_byte(self) -> float | None:
        """Operations per byte."""
        moved = sum(point.moved_bytes for point in self.points)
        return sum(point.operations for point in self.points) / moved if moved else None

    @property
    def roof_share(self) -> float | None:
        """The shortest possible time over the time taken."""
        if self.limits is None or not self.points:
            return None
        limits = self.limits
        shortest = sum(point.roof_share(limits) * point.seconds for point in self.points)
        return shortest / self.seconds


def kind_of(layer: Layer) -> str:
    """What a layer is, in words that two networks share: `3×3 convolution`, `BatchNorm2d`.

    A convolution is named by its kernel, whatever its groups, unless it is depthwise.
    """
    kernel = layer.setting("kernel_size")
    if not layer.kind.startswith("Conv") or not isinstance(kernel, tuple):
        return layer.kind
    sides = "×".join(map(str, kernel)) if len(kernel) > 1 else f"length-{kernel[0]}"
    channels, groups = layer.setting("in_channels"), layer.setting("groups")
    depthwise = "depthwise " if groups == channels and groups > 1 else ""
    transposed = "transposed " if "Transpose" in layer.kind else ""
    return f"{sides} {depthwise}{transposed}convolution"


def kind_times(profile: Profile) -> dict[str, KindTime]:
    """The timed and counted layers of a profile by their kind, the slowest kind first."""
    found: dict[str, list[Point]] = defaultdict(list)
    for layer, point in layer_points(profile):
        found[kind_of(layer)].append(point)
    limits = roofs(profile)
    kinds = {kind: KindTime(tuple(points), limits) for kind, points in found.items()}
    return dict(sorted(kinds.items(), key=lambda item: -item[1].seconds))


def elsewhere_seconds(profile: Profile) -> float:
    """Forward and backward time of the profiled step that is no counted layer's."""
    everything = sum(
        row.seconds.get(phase, 0.0)
        for row in profile.layers
        if not row.is_cost_of_measuring
        for phase in ("forward", "backward")
    )
    return everything - sum(point.seconds for _, point in layer_points(profile))


def kinds_table(chosen: Sequence[Contender]) -> Table | None:
    """Time by kind of layer with the differences to the first network; `None` without layers.

    Args:
        chosen: the networks of the comparison; those without measured layers get no column.
    """
    timed = [(c.label, c.profile) for c in chosen if c.profile is not None and c.profile.layers]
    if len(timed) < 2 or any(profile.analysis is None for _, profile in timed):
        return None
    times = [_folded(kind_times(profile)) for _, profile in timed]
    kinds = list(dict.fromkeys(kind for each in times for kind in each if kind != OTHERS))
    kinds += [OTHERS] if any(OTHERS in each for each in times) else []
    rest = [elsewhere_seconds(profile) for _, profile in timed]
    sums = [
        sum(kind.seconds for kind in each.values()) + own
        for each, own in zip(times, rest, strict=True)
    ]
    rows = [Row((kind, *_cells([each.get(kind) for each in times], sums))) for kind in kinds]
    unnamed: list[Cell] = [None] * (2 * len(timed))
    rows.append(Row((ELSEWHERE, *_seconds_cells(rest, sums), *unnamed)))
    rows.append(Row(("Total", *_seconds_cells(sums, sums), *unnamed), "total"))
    columns = _columns([label for label, _ in timed])
    doubt = dict.fromkeys(note for _, profile in timed for note in above_roof(profile))
    return Table("Measured time by kind of layer", columns, tuple(rows), (KIND_NOTE, *doubt))


def _folded(kinds: Mapping[str, KindTime]) -> dict[str, KindTime]:
    """Kinds of little time as one."""
    least = LEAST * sum(kind.seconds for kind in kinds.values())
    large = {name: kind for name, kind in kinds.items() if kind.seconds >= least}
    small = [kind for kind in kinds.values() if kind.seconds < least]
    if small:
        points = tuple(point for kind in small for point in kind.points)
        large[OTHERS] = KindTime(points, small[0].limits)
    return large


def _columns(labels: Sequence[str]) -> tuple[Column, ...]:
    columns = [Column("kind", "Kind", "name")]
    columns += [Column(label, label, "seconds") for label in labels]
    for label in labels[1:]:
        name = "Difference" if len(labels) == 2 else f"{label} − {labels[0]}"
        columns += [
            Column(f"{label} difference", name, "seconds", 1),
            Column(f"{label} share", "Share of it", "percent", 2),
        ]
    for label in labels:
        columns += [
            Column(f"{label} operations_per_byte", f"{label} op/byte", "decimal", 4),
            Column(f"{label} roof_share", f"{label} of roof", "percent", 3),
        ]
    return tuple(columns)


def _seconds_cells(seconds: Sequence[float | None], sums: Sequence[float]) -> list[Cell]:
    """The times, then of each later network the difference to the first and its share."""
    cells: list[Cell] = list(seconds)
    for own, total in zip(seconds[1:], sums[1:], strict=True):
        difference, overall = (own or 0.0) - (seconds[0] or 0.0), total - sums[0]
        cells += [difference, difference / overall if overall else None]
    return cells


def _cells(kinds: Sequence[KindTime | None], sums: Sequence[float]) -> list[Cell]:
    cells = _seconds_cells([None if kind is None else kind.seconds for kind in kinds], sums)
    for kind in kinds:
        cells += [None, None] if kind is None else [kind.operations_per_byte, kind.roof_share]
    return cells
