"""An independent count for the zoo's tests: hooks on convolutions and linear layers, on meta."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archscope import zoo

REFERENCES = Path(__file__).parent.parent / "references"

Step = tuple[str, nn.Module, tuple[int, ...], tuple[int, ...], int]


@pytest.fixture(scope="session")
def papers() -> dict[str, Any]:
    """Published tables beside values recomputed with other builders."""
    return json.loads((REFERENCES / "paper_tables.json").read_text())


@functools.cache
def weightless_build(name: str, **keywords: Any) -> nn.Module:
    with torch.device("meta"):
        return zoo.build(name, **keywords).eval()


@pytest.fixture
def weightless() -> Callable[..., nn.Module]:
    """Build a network of the zoo on the meta device, in evaluation mode, once for all tests."""
    return weightless_build


def params_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@functools.cache
def steps_of(module: nn.Module, input_shape: tuple[int, ...]) -> list[Step]:
    """Every module call in execution order: name, module, input shape, output shape, MACs."""
    steps: list[Step] = []

    def record(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
            macs = 0
            if isinstance(layer, nn.Conv2d | nn.Linear):
                macs = output.numel() * layer.weight[0].numel()
            shape = tuple(output.shape) if isinstance(output, Tensor) else ()
            steps.append((name, layer, tuple(args[0].shape), shape, macs))

        return hook

    handles = [part.register_forward_hook(record(name)) for name, part in module.named_modules()]
    device = next(module.parameters()).device
    with torch.no_grad():
        module(torch.empty(1, *input_shape, device=device))
    for handle in handles:
        handle.remove()
    return steps


@pytest.fixture
def params() -> Callable[[nn.Module], int]:
    return params_of


@pytest.fixture
def steps() -> Callable[[nn.Module, tuple[int, ...]], list[Step]]:
    return steps_of


@pytest.fixture
def macs() -> Callable[[nn.Module, tuple[int, ...]], int]:
    return lambda module, shape: sum(step[4] for step in steps_of(module, shape))
