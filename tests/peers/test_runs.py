"""What the other tools say, layer by layer, is explained to the unit."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from archscope.ask.target import network_target
from archscope.ask.verify.verify import verify
from archscope.peers.runs import PEERS
from archscope.peers.tools import own_figures


def test_own_figures_leave_the_children_out() -> None:
    assert own_figures({"": 10, "a": 7, "a.b.c": 3, "d": 1}) == {"": 2, "a": 4, "a.b.c": 3, "d": 1}


class Mixed(nn.Module):
    """A bit of everything that the tools treat in their own ways."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 8, 2, 2, groups=2)
        self.tokens = nn.Linear(8, 12)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Sequential(nn.Linear(12, 5), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(self.up(self.stem(x)), 2)
        tokens = self.tokens(x.flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        scores = (tokens @ tokens.transpose(1, 2)).softmax(-1)
        result: Tensor = self.head(self.norm(scores @ tokens) * 0.5)
        return result.mean(1)


@pytest.mark.parametrize("tool", ["torchinfo", "ptflops", "thop", "calflops", "torchprofile"])
def test_every_layer_of_an_optional_tool_is_explained(tool: str) -> None:
    """Only where the tool is installed."""
    (peer,) = (peer for peer in PEERS if peer.tool == tool)
    if not peer.installed:
        pytest.skip(f"{tool} is not installed")
    found = verify(network_target(Mixed(), input="3x8x8"), peers=[peer])
    (theirs,) = found.figures
    assert theirs.theirs not in (None, theirs.ours), theirs.failure
    assert found.passed, [
        disagreement for disagreement in theirs.disagreements if not disagreement.reason
    ]
    assert sum(p.theirs - p.ours for p in theirs.disagreements) == theirs.theirs - theirs.ours


class Shared(nn.Module):
    """One convolution under two names, called once under each."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False))
        self.two = nn.Sequential(self.one[0])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.two(self.one(x))
        return result


@pytest.mark.parametrize(("tool", "times"), [("ptflops", 2), ("thop", 4), ("calflops", 2)])
def test_a_module_of_two_names_is_counted_again(tool: str, times: int) -> None:
    """Its hook sees both calls, and its figure is added under both names; thop has two hooks."""
    peers = [peer for peer in PEERS if peer.tool == tool and peer.installed]
    if not peers:
        pytest.skip(f"{tool} is not installed")
    (theirs,) = verify(network_target(Shared(), input="3x8x8"), peers=peers).figures
    assert theirs.theirs == times * theirs.ours
    assert theirs.reasons == ("counts a shared module again under each of its names",)
