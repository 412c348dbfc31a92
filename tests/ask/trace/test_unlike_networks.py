"""Networks alike in their weights, and what a trace says of where they differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from archscope.ask.target import network_target
from archscope.ask.trace.aligned import FOLDED
from archscope.ask.trace.profile import traced
from archscope.errors import ArchscopeError
from tests.ask.trace.recording import credited, linear_layers, recorded, rewritten


class Heads(nn.Module):
    """Attention with weights that do not tell the number of heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).unflatten(2, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        return nn.functional.scaled_dot_product_attention(q, k, v).flatten(2)


def two_convolutions(dilation: int = 1, norm: nn.Module | None = None) -> nn.Module:
    second = nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm or nn.Identity(), second)


@pytest.mark.parametrize(
    ("ran", "named", "input", "place"),
    [
        (Heads(2), Heads(4), "5x8",
         r"the trace has scaled_dot_product_attention 2×2×5×4, Heads has .* 2×4×5×2"),
        (two_convolutions(), two_convolutions(2), "3x8x8",
         r"operator 2 \(2\): the trace has conv2d with padding \[1, 1\], .*\[2, 2\]"),
        (two_convolutions(norm=nn.GroupNorm(2, 4)), two_convolutions(), "3x8x8",
         r"operator 2 \(2\): the trace has group_norm, Sequential has conv2d"),
        (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 1)),
         nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 1)), "3x8x8",
         r"operator 1 \(0\): the trace has max_pool2d with kernel_size \[2, 2\], .* \[3, 3\]"),
    ],
)  # fmt: skip
def test_networks_with_the_same_weights_and_outputs_are_not_taken_for_each_other(
    tmp_path: Path, ran: nn.Module, named: nn.Module, input: str, place: str
) -> None:
    images = torch.ones(2, *map(int, input.split("x")))
    path = recorded(tmp_path / "a.json", lambda: ran(images).sum().backward())
    assert traced(path, network_target(ran, input=input)).profile.layers
    with pytest.raises(ArchscopeError, match=place):
        traced(path, network_target(named, input=input))


def test_the_first_operator_that_differs_is_named_without_shapes_too(tmp_path: Path) -> None:
    """The first three convolutions are those of the network; what is between them is not."""
    ran = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(4)))
    named = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.GELU(),
                          nn.Conv2d(3, 3, 1), nn.ReLU())  # fmt: skip
    path = str(tmp_path / "a.json")
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        ran(torch.ones(2, 3, 4, 4)).sum().backward()
    profiler.export_chrome_trace(path)
    with pytest.raises(ArchscopeError, match=r"operator 4 \(3\): the trace has relu, .* gelu"):
        traced(path, network_target(named, input="3x4x4"))


def test_shapes_beneath_those_of_an_operator_are_torchscripts(tmp_path: Path) -> None:
    """Its interpreter records its whole stack: a value that waits for a sum, then the inputs."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)).eval()

    def change(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for event in events:
            if event.get("name") in ("aten::conv2d", "aten::batch_norm"):
                event["args"]["Input Dims"].insert(0, [2, 4, 8, 8])
                event["args"]["Concrete Inputs"].insert(0, "")
        return events

    with torch.no_grad():
        path = recorded(tmp_path / "a.json", lambda: network(torch.ones(2, 3, 8, 8)))
    found = traced(rewritten(path, change), network_target(network, input="3x8x8"))
    assert credited(found, "aten::batch_norm") == {"1"}
    with pytest.raises(ArchscopeError, match=r"stride \[2, 2\], Sequential has .* \[1, 1\]"):
        other = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4))
        traced(path, network_target(other, input="3x8x8", batch=2))


def test_two_networks_alike_are_not_one_that_runs_twice(tmp_path: Path) -> None:
    """Two networks have two gradients of each weight in a backward pass, one network has one."""
    first, second = linear_layers(3, 8), linear_layers(3, 8)
    x = torch.ones(2, 32)
    for name, other, begin in (
        ("one", first, "A step runs the network 2 times"),
        ("two", second, "2 networks with the same layers run in a step"),
    ):
        path = recorded(
            tmp_path / name, lambda other=other: (first(x) - other(-x)).sum().backward()
        )
        (note,) = traced(path, network_target(first, input="32")).profile.notes
        assert note.startswith(begin)


def test_a_constant_mask_is_no_difference(tmp_path: Path) -> None:
    """Without memory its numbers are written by other operators."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            mask = x.new_zeros(4)
            mask[1:3] = 7
            return self.second(x * mask)

    path = recorded(tmp_path / "a.json", lambda: Masked()(torch.ones(2, 4)).sum().backward())
    assert traced(path, network_target(Masked(), input="4")).profile.notes == ()


def test_a_frozen_network_has_no_normalisation(tmp_path: Path) -> None:
    frozen = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))  # fmt: skip

    def run() -> None:
        with torch.no_grad(), record_function("forward"):
            frozen(torch.ones(2, 3, 8, 8))

    path = recorded(tmp_path / "a.json", run)
    found = traced(path, network_target(network, input="3x8x8"))
    assert credited(found, "aten::conv2d") == {"0", "3"}
    assert credited(found, "aten::relu") == {"2"}
    assert found.profile.notes == (FOLDED,)
    with pytest.raises(ArchscopeError, match=r"operator 2 \(1\): .* has conv2d"):
        traced(rewritten(path, lambda events: [e for e in events if e.get("name") != "forward"]),
               network_target(network, input="3x8x8"))  # fmt: skip


@pytest.mark.parametrize(
    ("traced_as", "told"),
    [
        (nn.ReLU(), None),
        # Operators of the network that was counted: linear, relu, linear.
        (nn.GELU(), r"1 operator .* the first: operator 2 \(1\): the trace has gelu, .* relu\."),
        (nn.Identity(), r"1 operator .*: operator 2 \(1\): the trace has nothing, .* relu\."),
        (
            nn.Sequential(nn.ReLU(), nn.Tanh()),
            r": behind operator 2 \(1\): the trace has tanh, Sequential has nothing\.",
        ),
    ],
)
def test_operators_without_weights_that_differ_are_named(
    tmp_path: Path, traced_as: nn.Module, told: str | None
) -> None:
    path = tmp_path / "a.json"
    ran = nn.Sequential(nn.Linear(4, 8), traced_as, nn.Linear(8, 4))
    recorded = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with recorded as profiler:
        ran(torch.ones(3, 4)).sum().backward()
    profiler.export_chrome_trace(str(path))
    named = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    notes = traced(str(path), network_target(named, input="4")).profile.notes
    if told is None:
        assert notes == ()
    else:
        (note,) = notes
        assert re.search(told, note)
