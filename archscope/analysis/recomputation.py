"""Activation checkpointing as a what-if: chosen modules run their forward pass a second time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from archscope.analysis.borrow import members
from archscope.patterns import matching


def outermost(network: nn.Module, pattern: str) -> list[str]:
    """Names of the modules that a pattern chooses, without those inside another chosen one.

    Args:
        network: whose modules.
        pattern: see `archscope.patterns`.
    """
    found: list[str] = []
    for name, module in members(network).items():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and not inside and matching(pattern, name, type(module).__name__):
            found.append(name)
    return found


def recompute(network: nn.Module, names: Sequence[str]) -> None:
    """Let modules keep their inputs alone, and compute the rest again in the backward pass.

    Args:
        network: a copy of the user's, which changes.
        names: of its modules.
    """
    modules = members(network)
    for name in names:
        module = modules[name]
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
