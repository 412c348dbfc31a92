"""Drawings of networks whose wiring is published."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from archscope.ask.graph import network_graph
from archscope.ask.target import network_target, target
from archscope.diagram import Diagram
from archscope.errors import ArchscopeError
from archscope.study.graph import MOST_NODES, diagram, graph_report


def drawn(model: str, pattern: str = "", depth: int | None = None, **keywords: Any) -> Diagram:
    target = network_target(model, keywords=keywords)
    return diagram(network_graph(target), depth=depth, pattern=pattern)


@pytest.fixture(scope="module")
def resnext() -> Diagram:
    return drawn("resnext50_32x4d")


def test_equal_blocks_are_drawn_once(resnext: Diagram) -> None:
    # Xie et al. (2017), table 1: 3, 4, 6 and 3 blocks; the first of each stage has a projection.
    assert [box.times for box in resnext.clusters if box.times > 1] == [2, 3, 5, 2]
    # Input, stem, pool, of each stage two blocks of three convolutions and a sum and one
    # projection, pool and classifier.
    assert len(resnext.nodes) == 1 + 2 + 4 * (2 * 4 + 1) + 2


def test_every_residual_has_an_edge(resnext: Diagram) -> None:
    sums = [place for place, node in enumerate(resnext.nodes) if node.title == "add"]
    assert len(sums) == 8
    assert all(sum(end == place for _, end in resnext.edges) == 2 for place in sums)


def test_groups_are_named(resnext: Diagram) -> None:
    middle = [node.title for node in resnext.nodes if node.title.startswith("3×3 conv")]
    assert len(middle) == 8 and all(title.endswith("32 groups") for title in middle)
    depthwise = drawn("mobilenet_v2", "features.2").nodes
    assert any("depthwise" in node.title for node in depthwise)


def test_a_convolution_is_drawn_with_what_follows_it(resnext: Diagram) -> None:
    assert resnext.nodes[1].title == "7×7 conv 64, /2"
    assert resnext.nodes[1].detail == "conv1 · BN · ReLU"


def test_shares_add_up_to_the_network(resnext: Diagram) -> None:
    assert sum(node.share for node in resnext.nodes) == pytest.approx(1)


def test_before_a_convolution_where_the_block_begins_with_a_norm() -> None:
    layer = drawn("densenet121", "features.denseblock1.denselayer1").nodes
    assert [node.title for node in layer[1:]] == ["concatenate", "1×1 conv 128", "3×3 conv 32"]
    assert layer[1].detail == "BN · ReLU"


def test_dense_layers_read_all_before_them() -> None:
    block = drawn("densenet121", "features.denseblock1", depth=3)
    # Huang et al. (2017): each of 6 layers reads what comes before the block and every layer
    # before it, and the block hands on all of them: n·(n − 1)/2 edges of n = 8 nodes.
    assert len(block.nodes) == 8
    assert set(block.edges) == {(a, b) for b in range(8) for a in range(b)}


def test_transformer_blocks_are_one() -> None:
    made = drawn("vit_b_16")
    (repeats,) = [box for box in made.clusters if box.times > 1]
    assert repeats.times == 12  # Dosovitskiy et al. (2021), table 1
    titles = [node.title for node in made.nodes]
    assert "attention, 12 heads" in titles and "linear 3072" in titles


def test_branches_meet_in_a_concatenation() -> None:
    made = drawn("googlenet", "inception3a")
    joined = [place for place, node in enumerate(made.nodes) if node.title == "concatenate"]
    assert [sum(end == place for _, end in made.edges) for place in joined] == [4]


def test_large_networks_are_opened_as_far_as_a_page_holds() -> None:
    whole = drawn("densenet121")
    assert 20 < len(whole.nodes) <= MOST_NODES
    assert len(drawn("densenet121", depth=1).nodes) < 10


def test_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(ArchscopeError, match="layer9"):
        drawn("resnet18", "layer9")


def test_the_table_names_what_each_node_reads() -> None:
    report = graph_report(network_graph(network_target("resnet18")), pattern="layer1")
    (table,) = report.tables
    assert table.column("reads") == [None, "0", "1", "2, 0"]
    # 3·3·64·64 at 56·56 places
    assert table.column("macs")[1] == 9 * 64 * 64 * 56 * 56
    assert table.column("title")[1:] == ["×2 3×3 conv 64", "×2 3×3 conv 64", "×2 add"]


def test_nodes_have_the_names_of_modules_in_the_network() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Sequential(nn.Conv2d(3, 4, 3))
            self.same = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
            self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            again = self.same(self.same(self.down(x)))
            up: Tensor = self.up(again)
            return up

    report = graph_report(network_graph(target(Net(), input="3x8x8")))
    (table,) = report.tables
    assert table.column("modules") == [None, "down.0", "same.0", "same.0 (call 2)", "up"]
    # 6·6 places: 9·3·4 MACs each in down, 9·4·4 in same
    assert "3×3 conv 4 (same.0)" in str(report.answer)
    assert table.column("title")[-1] == "2×2 transposed conv 3, ×2"
