"""Layers by output stride, so that networks of different families line up.

The rule: a module call belongs to the stride of its own output, that is the side of the input over
the side of the output (the root of the ratio of their areas), rounded to the nearest power of two.
Outputs may be N×C×H×W, N×H×W×C or tokens N×L×C.
A call whose output has no resolution (pooled to 1×1, flat, or cut into windows) belongs where the
nearest call around it belongs that has one: a squeeze-and-excitation to its block.
Where none around it has one, it belongs to the head.
Parameters of a module that was not called belong to the call that computes with them, such as the
projections of an attention; where there is none, they have a row of their own.
Every call is in exactly one row, so the rows add up to the totals of the network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.records import Analysis, InputSpec, Layer, Node, Profile, Shape, Totals, totals

HEAD = "head"
NOT_RUN = "not run"
ELSEWHERE = "unattributed"
"""Label of measured time that belongs to no module call: gaps between kernels, the optimizer."""

FLAT_LABELS = (HEAD, NOT_RUN, ELSEWHERE)

LARGEST_DISTORTION = math.log(2)
"""Sides whose proportions differ from the input's by more are no map of it but windows, say."""


@dataclass(frozen=True)
class Stage:
    """The calls of one output stride.

    Args:
        label: the stride (`4`, or `1/2` for twice the input's resolution), or one of `FLAT_LABELS`.
        layers: in execution order.
    """

    label: str
    layers: tuple[Layer, ...]

    @cached_property
    def total(self) -> Totals:
        return totals(self.layers)


def stages(analysis: Analysis) -> tuple[Stage, ...]:
    """The calls of a network by output stride, the finest first and the head last."""
    members: dict[str, list[Layer]] = {}
    for layer, label in zip(analysis.calls, labels(analysis), strict=True):
        members.setdefault(label, []).append(layer)
    return tuple(Stage(label, tuple(members[label])) for label in in_order(members))


def stage_seconds(profile: Profile) -> dict[str, dict[str, float]]:
    """Measured seconds by phase and output stride; a phase's values add up to the profiled one.

    Empty where the profile has no layers.
    """
    if profile.analysis is None:
        return {}
    known = {
        (layer.name, layer.call): label
        for layer, label in zip(profile.analysis.calls, labels(profile.analysis), strict=True)
    }
    sums: dict[str, dict[str, float]] = {}
    for row in profile.layers:
        if not row.is_cost_of_measuring:
            label = known.get((row.name, row.call), ELSEWHERE)
            for phase, seconds in row.seconds.items():
                of_phase = sums.setdefault(phase, {})
                of_phase[label] = of_phase.get(label, 0.0) + seconds
    return sums


def in_order(found: Iterable[str]) -> list[str]:
    """Labels with rising stride, then the head and what belongs nowhere."""

    def position(label: str) -> tuple[int, float]:
        if label in FLAT_LABELS:
            return 1 + FLAT_LABELS.index(label), 0.0
        numerator, _, denominator = label.partition("/")
        return 0, int(numerator) / int(denominator or 1)

    return sorted(set(found), key=position)


def labels(analysis: Analysis) -> list[str]:
    """The stage label of each call, in order of `analysis.calls`."""
    geometry = Geometry(analysis)
    found: dict[int, str] = {}
    users: dict[str, str] = {}

    def label(node: Node, around: str) -> None:
        layer = node.layer
        if not layer.called:
            return
        own = found[node.index] = geometry.label(layer) or around
        if layer.macs:
            users.setdefault(layer.name, own)
        for child in node.children:
            label(child, own)

    for root in analysis.tree():
        label(root, HEAD)
    return [
        found[index] if layer.called else _user_label(layer.name, users)
        for index, layer in enumerate(analysis.calls)
    ]


def _user_label(name: str, users: Mapping[str, str]) -> str:
    """The stage of the nearest module around this one that multiplies by itself."""
    while "." in name:
        name = name.rpartition(".")[0]
        if name in users:
            return users[name]
    return NOT_RUN


@dataclass(frozen=True)
class Geometry:
    """What resolution an output of a network has."""

    analysis: Analysis

    def label(self, layer: Layer) -> str | None:
        """The output stride of a call, `None` when its output has no resolution."""
        size = self.size(layer.output_shape, layer)
        image = self._input
        if size is None or image is None or 0 in (*size, *image):
            return None
        ratio = math.prod(image) / math.prod(size)
        power = round(math.log2(ratio) / len(image))
        return str(2**power) if power >= 0 else f"1/{2**-power}"

    def size(self, shape: Shape | None, layer: Layer) -> tuple[int, ...] | None:
        """Sides of a feature map, or the number of tokens; `None` when there is but one place."""
        image = self._input
        if shape is None or image is None:
            return None
        sides = [side for side in shape if isinstance(side, int)]
        if len(sides) != len(shape) or len(shape) < 3:
            return None
        size = self._sides(sides, layer, image)
        if size is None or (math.prod(size) <= 1 < math.prod(image)):
            return None
        return size

    def _sides(
        self, shape: list[int], layer: Layer, image: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        axes = len(image)
        if len(shape) < axes + 2:  # tokens, batch and length in either order
            if axes == 1 or layer.setting("in_channels") or layer.setting("num_features"):
                return (shape[-1],)
            return (max(1, math.prod(shape[:-1]) // self._batch),)
        behind, between = tuple(shape[-axes:]), tuple(shape[-axes - 1 : -1])
        if axes == 1:
            return between if self._channels_last else behind
        best = min((behind, between), key=lambda sides: _distortion(sides, image))
        if min(best) > 1 and _distortion(best, image) > LARGEST_DISTORTION:
            return None
        return best

    @cached_property
    def _input(self) -> tuple[int, ...] | None:
        return input_sides(self.analysis.input)

    @cached_property
    def _batch(self) -> int:
        batch = self.analysis.input.batch
        return batch if isinstance(batch, int) else 1

    @cached_property
    def _channels_last(self) -> bool:
        """Whether sequences are N×L×C; convolutions and recurrences over them tell."""
        first = self.analysis.input.tensors[0]
        kinds = {layer.kind for layer in self.analysis.calls}
        return len(first.shape) == 2 or not kinds & {"Conv1d", "BatchNorm1d", "MaxPool1d"}


def input_sides(spec: InputSpec) -> tuple[int, ...] | None:
    """Height and width of the first image among the inputs, or the length of a sequence."""
    for tensor in sorted(spec.tensors, key=lambda tensor: -len(tensor.shape)):
        sides = tuple(side for side in tensor.shape if isinstance(side, int))
        if len(sides) != len(tensor.shape):
            continue
        if len(sides) >= 4:
            return sides[2:]
        if len(sides) == 3:
            return (max(sides[1:]),)
        if len(sides) == 2 and tensor.dtype.startswith("int"):
            return (sides[1],)
    return None


def _distortion(sides: Sequence[int], image: Sequence[int]) -> float:
    """How much the proportions of two maps differ; 0 when one is the other, scaled."""
    scales = [math.log(a / b) if a and b else math.inf for a, b in zip(image, sides, strict=True)]
    return max(scales) - min(scales)
