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


class Expert(nn.Module):
    """Calls one of its experts, and holds a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(3))
        self.down = nn.Linear(4, 4)

    def forward(self, x):
        return self.down(self.experts[1](x))


def test_what_never_ran_is_inside_the_nearest_module_around_it_that_ran() -> None:
    network = nn.Sequential(Expert(), nn.Linear(4, 2))
    network[1].extra = nn.ModuleList([nn.Linear(4, 4)])  # inside a leaf, which `forward` ignores
    analysis = analyse(target(network, input="4"))
    idle = [("0.experts.0.0", []), ("0.experts.2.0", [])]
    ran = [("0.experts.1", [("0.experts.1.0", [])]), ("0.down", [])]
    (root,) = analysis.tree()
    assert names(root) == ("", [("0", ran + idle), ("1", [("1.extra.0", [])])])
    assert all(child.layer.depth == node.layer.depth + 1
               for node in root.walk() for child in node.children)  # fmt: skip
    walked = sorted(node.index for node in root.walk())
    assert walked == list(range(len(analysis.calls)))
