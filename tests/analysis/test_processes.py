"""Processes that a network starts in `forward`: refused where they compute, never waited for."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system copies no processes"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class Asks(nn.Module):
    """Lets another process answer, and waits for it."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        process = context.Process(target=lambda: answers.put(self.answer(self.layer, x)))
        process.start()
        answer = answers.get()
        process.join()
        return self.layer(x) * answer


def test_operators_in_another_process_are_refused() -> None:
    network = Asks(lambda layer, x: float(layer(x).detach().sum()))
    with pytest.raises(archscope.ArchscopeError, match="runs operators in another process"):
        archscope.summary(network, (torch.ones(2, 8),))


def test_a_process_that_computes_nothing_changes_no_count() -> None:
    said = archscope.summary(Asks(lambda layer, x: 2), (torch.ones(2, 8),))
    assert said.total.macs == 2 * 8 * 8
    assert "Asks starts another process" in str(said)


def test_tensors_handed_to_another_process_are_refused() -> None:
    class Hands(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            place = multiprocessing.get_context("fork").SimpleQueue()
            place.put(x.relu())
            taken: Tensor = place.get()
            return taken

    with pytest.raises(archscope.ArchscopeError, match="hands tensors to another process"):
        archscope.summary(Hands(), (torch.ones(2, 8),))
