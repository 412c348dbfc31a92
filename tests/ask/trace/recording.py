"""Networks and steps that tests record, and what a trace of one credits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.checkpoint import checkpoint

from archscope.ask.trace.profile import Traced
from archscope.traces.events import Event


class Residual(nn.Module):
    """Blocks with a sum, one of them called twice; checkpointed in either way or not at all."""

    reentrant: bool | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
            for _ in range(2)
        )
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in (*self.blocks, self.blocks[0]):
            if self.reentrant is None:
                y = block(x)
            else:
                y = checkpoint(block, x, use_reentrant=self.reentrant)
            x = self.relu(x + y)
        return self.fc(x.mean((2, 3)))


def linear_layers(layers: int, width: int) -> nn.Module:
    sides = [32, *[width] * (layers - 1), 10]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sides)))


def recorded(path: Path, step: Callable[[], object], **options: bool) -> str:
    """A trace of one step, with shapes and without module calls."""
    options = {"record_shapes": True, **options}
    profiled = profile(activities=[ProfilerActivity.CPU], **options)
    with profiled as profiler, record_function("ProfilerStep#0"):
        step()
    profiler.export_chrome_trace(str(path))
    return str(path)


def credited(found: Traced, node: str) -> set[str]:
    """The rows of operators by their name."""
    return {
        credit.call.name if credit.call is not None else "nothing"
        for credit in found.attribution.credits
        if isinstance(credit.source, Event) and credit.source.name == node
    }


def rewritten(path: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> str:
    content = json.loads(Path(path).read_text())
    content["traceEvents"] = change(content["traceEvents"])
    Path(path).write_text(json.dumps(content))
    return path
