"""Labels beside points, none over another: plain geometry, in pixels or any other length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DIRECTIONS = (
    (1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1),
    (0.4, 1), (-0.4, 1), (0.4, -1), (-0.4, -1), (1, 0.4), (1, -0.4), (-1, 0.4), (-1, -0.4),
)  # fmt: skip
_RINGS = (1.0, 2.0, 3.5, 5.5, 8.0, 11.0, 15.0, 20.0)
"""Distances tried, in gaps, from beside the marker outwards."""
MOST_LABELS = 100
"""More names than that crowd any figure, and each one costs a look at every point."""


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )

    def contains(self, x: float, y: float) -> bool:
        return self.left < x < self.right and self.bottom < y < self.top


@dataclass(frozen=True, slots=True)
class Label:
    """A text waiting for its place.

    Args:
        x, y: centre of its marker.
        radius: of the marker.
        width, height: of the text.
    """

    x: float
    y: float
    radius: float
    width: float
    height: float

    @property
    def marker(self) -> Box:
        return Box(
            self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius
        )


def placed(
    labels: Sequence[Label],
    frame: Box,
    gap: float,
    strokes: Sequence[tuple[float, float]] = (),
    unnamed: Sequence[Label] = (),
) -> list[Box | None]:
    """Find each label a box inside the frame, clear of every marker and of every other label.

    Labels are served in order; one without any free place among sixteen directions and eight
    distances gets `None`, and so do all after the first `MOST_LABELS`.

    Args:
        labels: the more important first.
        frame: where texts may stand.
        gap: between a marker and its text, and twice the least distance between texts.
        strokes: points along drawn lines, which a text covers only where nothing else is free.
        unnamed: markers that want no text, and are to be kept clear of it.
    """
    taken: list[Box] = []
    boxes: list[Box | None] = []
    for index, label in enumerate(labels[:MOST_LABELS]):
        others = [*labels[:index], *labels[index + 1 :], *unnamed]
        free = [
            box
            for box in _candidates(label, gap)
            if frame.holds(box) and _is_free(box, label, others, taken, gap)
        ]
        box = next((box for box in free if not _covers(box, strokes)), free[0] if free else None)
        boxes.append(box)
        if box is not None:
            taken.append(box)
    return boxes + [None] * (len(labels) - len(boxes))


def _covers(box: Box, points: Sequence[tuple[float, float]]) -> bool:
    return any(box.contains(x, y) for x, y in points)


def _candidates(label: Label, gap: float) -> Iterator[Box]:
    for ring in _RINGS:
        for right, up in _DIRECTIONS:
            slant = math.hypot(right, up)
            reach = label.radius + gap * ring
            x = label.x + reach * right / slant
            y = label.y + reach * up / slant
            left = x - label.width * (1 - right) / 2
            bottom = y - label.height * (1 - up) / 2
            yield Box(left, bottom, left + label.width, bottom + label.height)


def _is_free(box: Box, label: Label, others: list[Label], taken: list[Box], gap: float) -> bool:
    """Whether the text covers nothing, belongs visibly to its marker, and its leader is free."""
    room = Box(box.left - gap / 2, box.bottom - gap / 2, box.right + gap / 2, box.top + gap / 2)
    if any(room.overlaps(other) for other in taken) or box.overlaps(label.marker):
        return False
    if any(room.overlaps(other.marker) for other in others):
        return False
    if not needs_leader(box, label, gap):
        return not any(_is_nearer(box, other, label, gap) for other in others)
    x, y = anchor(box, label)
    steps = [step / 16 for step in range(1, 17)]
    leader = [(label.x + (x - label.x) * s, label.y + (y - label.y) * s) for s in steps]
    return not any(_covers(other, leader) for other in taken) and not any(
        _covers(other.marker, leader) for other in others if not other.marker.overlaps(label.marker)
    )


def _is_nearer(box: Box, other: Label, label: Label, gap: float) -> bool:
    """Whether a reader could take the text for another marker's, which stands as near."""
    if other.marker.overlaps(label.marker):
        return False
    return _distance(box, other) < _distance(box, label) + gap / 2


def _distance(box: Box, label: Label) -> float:
    """From a text to the rim of a marker."""
    return math.dist(anchor(box, label), (label.x, label.y)) - label.radius


def needs_leader(box: Box, label: Label, gap: float) -> bool:
    """Whether a text stands too far from its marker to belong to it at a glance."""
    return _distance(box, label) > 1.8 * gap


def anchor(box: Box, label: Label) -> tuple[float, float]:
    """The point of a label's box nearest to its marker, where a leader line ends."""
    return (
        min(max(label.x, box.left), box.right),
        min(max(label.y, box.bottom), box.top),
    )
