"""Which module's result each module reads, on networks whose wiring is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archscope.analysis.graph import INPUT
from archscope.ask.graph import network_graph
from archscope.ask.target import network_target


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.act(self.first(x)))
        y += x
        return self.act(y)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(width, 2, 1) for width in (3, 5, 7))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 5), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.flatten(1).chunk(2, dim=1)
        return self.left(one) @ self.right(other).t()


def wiring(module: nn.Module, input: str) -> list[tuple[str, tuple[str, ...], set[str]]]:
    """Of each step: its module, its operators, and the modules whose results it reads."""
    graph = network_graph(network_target(module, input=input))
    names = [graph.execution.layers[step.layer].name for step in graph.steps]
    return [
        (name, step.operators, {"input" if n == INPUT else names[n] for n in step.reads})
        for name, step in zip(names, graph.steps, strict=True)
    ]


def test_a_sum_in_place_reads_both_its_terms() -> None:
    found = wiring(Residual(), "4x8x8")
    assert [(name, reads) for name, _, reads in found] == [
        ("first", {"input"}), ("act", {"first"}), ("last", {"act"}), ("", {"last", "input"}),
        ("act", {""}),
    ]  # fmt: skip
    assert found[3][1] == ("add_",)


def test_a_concatenation_reads_all_that_it_joins() -> None:
    found = wiring(Dense(), "3x4x4")
    assert found[0][2] == {"input"}
    assert found[1][2] == {"input", "layers.0"}
    assert found[3][2] == {"", "layers.1"}  # what was joined before, and the new layer


def test_views_stand_for_what_they_show() -> None:
    found = wiring(Views(), "2x3")
    assert {name: reads for name, _, reads in found if name} == {
        "left": {"input"}, "right": {"input"},
    }  # fmt: skip
    assert found[-1][2] == {"left", "right"}


def test_steps_have_the_macs_of_their_products() -> None:
    graph = network_graph(network_target(Views(), input="2x3", batch=4))
    # two layers of 3·5 for each of 4 samples, and 4·5·4
    assert [step.macs for step in graph.steps] == [60, 60, 80]
