"""The tree of modules as a drawing: widths to scale, names where they fit."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.patches import Rectangle

from archscope import summary
from archscope.diagram import Icicle
from archscope.render.icicle import icicle
from archscope.render.plots import drawing_image
from archscope.study.icicle import icicle as icicle_of


@pytest.fixture(scope="module")
def lenet() -> Icicle:
    return icicle_of(summary("lenet").analysis)


def widths(drawing: Icicle) -> list[float]:
    axes: Any = icicle(drawing).get_axes()[0]
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def test_widths_are_shares_of_the_macs(lenet: Icicle) -> None:
    macs = [6 * 25 * 28 * 28, 16 * 150 * 100, 400 * 120, 120 * 84, 84 * 10]
    assert widths(lenet) == pytest.approx([1.0, *(each / sum(macs) for each in macs)])


def test_names_and_amounts_stand_where_they_fit(lenet: Icicle) -> None:
    texts = [text.get_text() for text in icicle(lenet).get_axes()[0].texts]
    assert {"LeNet", "417 k", "conv1", "118 k", "conv2", "240 k", "fc1"} <= set(texts)
    assert "fc3" not in texts  # 840 of 416,520 is thinner than a letter


def test_a_network_without_macs_is_drawn_by_its_parameters() -> None:
    from torch import nn

    drawing = icicle_of(summary(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), "4x8x8").analysis)
    assert drawing.title.endswith("by parameters")
    assert [block.amount for block in drawing.roots[0].children] == [8, 0]


def test_a_drawing_has_the_size_that_is_asked_for(lenet: Icicle) -> None:
    assert tuple(icicle(lenet, (3.3, 2.0)).get_size_inches()) == (3.3, 2.0)
    assert drawing_image(lenet, "svg") == drawing_image(lenet, "svg")
