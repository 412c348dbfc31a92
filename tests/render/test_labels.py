"""Labels stand beside their points and never over one another, however dense the cloud."""

import itertools
import math
import random

import pytest

from archscope.render.labels import MOST_LABELS, Box, Label, anchor, needs_leader, placed

FRAME = Box(0, 0, 1000, 600)


def cloud(count: int, seed: int) -> list[Label]:
    chance = random.Random(seed)
    return [
        Label(chance.gauss(500, 180), chance.gauss(300, 90), 6, chance.uniform(30, 120), 18)
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [5, 30, 80])
def test_no_label_covers_another_or_a_marker(count: int, seed: int) -> None:
    labels = cloud(count, seed)
    found = [
        (label, box) for label, box in zip(labels, placed(labels, FRAME, 6), strict=True) if box
    ]
    assert not any(a.overlaps(b) for (_, a), (_, b) in itertools.combinations(found, 2))
    assert not any(box.overlaps(label.marker) for _, box in found for label in labels)
    assert all(FRAME.holds(box) for _, box in found)


def test_a_lone_label_stands_right_beside_its_marker() -> None:
    label = Label(500, 300, 6, 80, 18)
    (box,) = placed([label], FRAME, 6)
    assert box == Box(512, 291, 592, 309)
    assert anchor(box, label) == (512, 300) and not needs_leader(box, label, 6)


def test_a_label_avoids_a_line_where_it_can() -> None:
    label = Label(500, 300, 6, 80, 18)
    stroke = [(float(x), 300.0) for x in range(500, 1000, 4)]
    (box,) = placed([label], FRAME, 6, stroke)
    assert box is not None and not any(box.contains(x, y) for x, y in stroke)
    (boxed_in,) = placed(
        [label], FRAME, 6, [(x, y) for x in range(0, 1000, 4) for y in range(0, 600, 4)]
    )
    assert boxed_in == placed([label], FRAME, 6)[0]


def test_a_label_without_room_is_left_out() -> None:
    assert placed([Label(50, 50, 6, 300, 18)], Box(0, 0, 100, 100), 6) == [None]


def test_identical_points_are_named_on_every_side() -> None:
    found = placed([Label(500, 300, 6, 60, 18)] * 6, FRAME, 6)
    boxes = [box for box in found if box]
    assert len(boxes) >= 4
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_only_the_first_labels_of_a_crowd_are_placed() -> None:
    found = placed(cloud(400, 0), FRAME, 6)
    assert len(found) == 400
    assert any(found[:MOST_LABELS]) and not any(found[MOST_LABELS:])


def test_a_label_is_not_taken_for_the_neighbours() -> None:
    own, neighbour = Label(500, 300, 6, 80, 18), Label(480, 330, 6, 80, 18)
    below, above = placed([own, neighbour], FRAME, 6)
    for label, box, other in ((own, below, neighbour), (neighbour, above, own)):
        assert box is not None
        near = math.dist(anchor(box, label), (label.x, label.y))
        assert near < math.dist(anchor(box, other), (other.x, other.y))
