"""Sums of layers, and the tree of calls."""

from __future__ import annotations

from torch import nn

from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.records import Analysis, Node, Totals, totals


class Twice(nn.Module):
    """Calls a block twice and holds a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return self.block(self.block(x))


def counted(backward: bool) -> Analysis:
    return analyse(target(Twice(), input="4x9x9"), backward=backward)


def test_totals_of_parts_add_up() -> None:
    for backward in (False, True):
        layers = counted(backward).calls
        whole = totals(layers)
        for cut in range(len(layers) + 1):
            assert totals(layers[:cut]) + totals(layers[cut:]) == whole
        assert (whole.macs_backward is None) == (not backward)


def test_a_sum_over_nothing_is_zero_and_has_no_backward_pass() -> None:
    assert totals(()) == Totals(0, 0, 0, 0, None, 0, 0, 0, None, 0, 0)


def names(node: Node) -> object:
    return node.layer.name, [names(child) for child in node.children]


def test_the_tree_nests_each_call_in_its_caller() -> None:
    analysis = counted(backward=False)
    block = ("block", [("block.0", []), ("block.1", [])])
    first, *_ = analysis.tree()
    assert names(first)[1][:2] == [block, block]
    walked = [node for root in analysis.tree() for node in root.walk()]
    assert [node.index for node in walked] == list(range(len(analysis.calls)))
    assert [node.layer for node in walked] == list(analysis.calls)
