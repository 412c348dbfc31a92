"""Laws that every drawing keeps, on random graphs without cycles."""

from __future__ import annotations

import itertools
import random

import networkx
import pytest

from archscope.diagram import Cluster, Diagram, Node
from archscope.render.graph.draw import drawn
from archscope.render.graph.layers import Layers, ranks, split_skips
from archscope.render.graph.layout import Layout, Rectangle, layout

SEEDS = range(25)


def random_diagram(seed: int) -> Diagram:
    """A chain with branches, skips and one box of nodes that follow each other."""
    chance = random.Random(seed)
    count = chance.randrange(2, 40)
    edges = {
        (chance.randrange(max(0, end - 4), end), end)
        for end in range(1, count)
        for _ in range(chance.randrange(1, 4))
    }
    first, last = sorted((chance.randrange(count), chance.randrange(count)))
    nodes = tuple(
        Node(f"n{i}", "x" * chance.randrange(30), "", "1×1", 0, 0.0, "linear",
             0 if first <= i <= last else -1)
        for i in range(count)
    )  # fmt: skip
    return Diagram(str(seed), nodes, (Cluster("box", 2),), tuple(sorted(edges)))


def apart(one: Rectangle, other: Rectangle) -> bool:
    return (
        one.right <= other.x or other.right <= one.x or one.bottom <= other.y
        or other.bottom <= one.y
    )  # fmt: skip


def inside(box: Rectangle, one: Rectangle) -> bool:
    return box.x <= one.x and box.y <= one.y and one.right <= box.right and one.bottom <= box.bottom


@pytest.mark.parametrize("seed", SEEDS)
def test_direct_edges_are_the_transitive_reduction(seed: int) -> None:
    made = random_diagram(seed)
    graph = networkx.DiGraph(list(made.edges))
    direct, skips = split_skips(len(made.nodes), made.edges)
    assert set(direct) == set(networkx.transitive_reduction(graph).edges)
    assert sorted([*direct, *skips]) == sorted(made.edges)


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_rise_along_edges(seed: int) -> None:
    made = random_diagram(seed)
    rank = ranks(len(made.nodes), made.edges)
    assert all(rank[a] < rank[b] for a, b in made.edges)


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_cover_nothing_and_boxes_hold_their_own(seed: int) -> None:
    made = random_diagram(seed)
    placed = layout(made)
    for index, one in enumerate(placed.nodes):
        assert all(apart(one, other) for other in placed.nodes[index + 1 :])
    for node, place in zip(made.nodes, placed.nodes, strict=True):
        if node.cluster == 0:
            assert inside(placed.clusters[0], place)
    whole = Rectangle(0, 0, placed.width, placed.height)
    assert all(inside(whole, place) for place in (*placed.nodes, *placed.clusters))


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_join_the_nodes_of_their_edges(seed: int) -> None:
    made = random_diagram(seed)
    placed = layout(made)
    for (start, end), line in zip(made.edges, placed.lines, strict=True):
        assert touches(placed.nodes[start], *line.points[0])
        assert touches(placed.nodes[end], *line.points[-1])


def touches(box: Rectangle, x: float, y: float) -> bool:
    near = 1e-6
    across = box.x - near <= x <= box.right + near
    down = box.y - near <= y <= box.bottom + near
    edge = min(abs(x - box.x), abs(x - box.right), abs(y - box.y), abs(y - box.bottom)) <= near
    return across and down and edge


def test_a_chain_is_straight() -> None:
    placed = chain(12)
    assert len({place.x for place in placed.nodes}) == 1


def test_a_long_chain_is_wrapped_into_columns() -> None:
    placed = chain(60)
    assert len({place.x for place in placed.nodes}) > 1
    assert placed.height < 60 * 38


def chain(count: int) -> Layout:
    nodes = tuple(Node(f"n{i}", "layer", "", "1", 0, 0.0, "linear") for i in range(count))
    return layout(Diagram("chain", nodes, (), tuple((i, i + 1) for i in range(count - 1))))


def test_columns_keep_their_distance() -> None:
    layers = Layers([0, 1, 1, 1, 2], [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)])
    x = layers.across(100, 10, 5)
    middle = sorted(x[1:4])
    assert [b - a for a, b in itertools.pairwise(middle)] == [110, 110]
    assert x[0] == x[4] == middle[1]


def test_a_narrow_size_has_fewer_columns_and_thinner_lines() -> None:
    nodes = tuple(Node(f"n{i}", "conv", "", "1×1", 0, 0.0, "linear") for i in range(40))
    chain = Diagram("chain", nodes, (), tuple((i, i + 1) for i in range(39)))
    width, height = drawn(chain, (2.5, 8.0)).get_size_inches()
    assert height > width  # the natural drawing is wider than it is high
    thick = max(patch.get_linewidth() for patch in drawn(chain, (2.5, 8.0)).axes[0].patches)
    assert thick < min(0.6, max(patch.get_linewidth() for patch in drawn(chain).axes[0].patches))
