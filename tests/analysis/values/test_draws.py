"""Random numbers that decide what a network does: said, or what the network's own seed gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import archscope

X = torch.ones(2, 8)


class Chooses(nn.Module):
    """One of two layers, as what is asked decides."""

    def __init__(self, asked: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.small = nn.Linear(8, 1, bias=False)
        self.big = nn.Linear(8, 100, bias=False)
        self.asked = asked

    def forward(self, x: Tensor) -> Tensor:
        return self.big(x) if self.asked(x) else self.small(x)


def notes(asked: Callable[[Tensor], Any]) -> tuple[str, ...]:
    return archscope.summary(Chooses(asked), (X,)).analysis.notes


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        (lambda x: torch.rand(1) < 0.5, "PyTorch"),
        (lambda x: torch.randint(2, ()).item(), "PyTorch"),
        (lambda x: int(torch.randperm(8)[0]), "PyTorch"),
        (lambda x: x[torch.rand(2) < 0.5].shape[0] == 2, "PyTorch"),
        (lambda x: torch.bernoulli(torch.tensor(0.5)).numpy() > 0, "PyTorch"),
        (lambda x: torch.rand(100_000).mean() < 0.5, "PyTorch"),
        (lambda x: random.random() < 0.5, "Python's random module"),
        (lambda x: np.random.rand() < 0.5, "numpy.random"),
    ],
)
def test_a_draw_that_is_read_is_said(asked: Callable[[Tensor], Any], source: str) -> None:
    (note,) = notes(asked)
    assert source in note and "counted for seed 0" in note


@pytest.mark.parametrize(
    "asked",
    [
        lambda x: x.add(torch.rand(2, 1)).shape[0] == 2,
        lambda x: torch.ones(1) > 0,
        lambda x: F.dropout(x, 0.5, True).dim() == 2,
        lambda x: random.Random(3).random() < 0.5,
        lambda x: torch.rand(1, generator=torch.Generator().manual_seed(3)) < 0.5,
    ],
)
def test_a_draw_that_decides_nothing_or_has_its_own_seed_is_not(
    asked: Callable[[Tensor], Any],
) -> None:
    assert notes(asked) == ()


def test_draws_from_the_standard_generators_are_the_same_in_every_state() -> None:
    counts = set()
    for seed in range(8):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        network = Chooses(lambda x: torch.rand(1) + random.random() + np.random.rand() > 1.5)
        counts.add(archscope.summary(network, (X,)).total.macs)
    assert len(counts) == 1


def after_the_same_seed(seed: int) -> Callable[[Tensor], Any]:
    def asked(x: Tensor) -> Any:
        torch.manual_seed(seed)
        torch.rand(3)
        return torch.rand(1) < 0.5

    return asked


def after_dropout(seed: int) -> Callable[[Tensor], Any]:
    def asked(x: Tensor) -> Any:
        torch.manual_seed(seed)
        F.dropout(x, 0.5, True)
        return torch.rand(1) < 0.5

    return asked


def after_many(seed: int) -> Callable[[Tensor], Any]:
    def asked(x: Tensor) -> Any:
        generator = torch.Generator().manual_seed(seed)
        torch.randn(5001, generator=generator)
        return torch.rand(1, generator=generator) < 0.5

    return asked


@pytest.mark.parametrize("asked", [after_the_same_seed, after_dropout, after_many])
def test_draws_after_a_seed_of_the_network_s_own_are_those_of_pytorch(asked: Any) -> None:
    counts = set()
    for seed in range(1, 6):
        network = Chooses(asked(seed))
        with torch.random.fork_rng(), FlopCounterMode(display=False) as counter:
            network(X)
        said = archscope.summary(network, (X,)).total.macs
        assert 2 * said == counter.get_total_flops()
        counts.add(said)
    assert len(counts) == 2  # both ways
