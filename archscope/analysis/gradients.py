"""The backward pass of a run: from what it starts, and which parameters it reaches."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from archscope.analysis.nested import reached
from archscope.analysis.observer import Observer
from archscope.patterns import matching


class NoGradientError(Exception):
    """No output of the network depends on anything that needs a gradient."""


def run_backward(recorder: Observer, outputs: Any) -> None:
    """Run the backward pass, from ones of every differentiable output.

    Raises:
        NoGradientError: no output needs a gradient.
    """
    targets = [tensor for tensor in reached(outputs) if tensor.requires_grad]
    if not targets:
        raise NoGradientError("no output needs a gradient")
    recorder.in_backward = recorder.log.repeating = True
    gradients = [torch.empty_like(target) for target in targets]
    torch.autograd.backward(targets, gradients)


def freeze_all_but(module: nn.Module, pattern: str) -> int:
    """Leave `requires_grad` only to the parameters whose name or module a pattern chooses.

    Returns:
        how many parameters stay trainable.
    """
    chosen = {
        parameter
        for name, owner in module.named_modules()
        for own, parameter in owner.named_parameters(name, recurse=False)
        if matching(pattern, own) or matching(pattern, name, type(owner).__name__)
    }
    for parameter in module.parameters():
        parameter.requires_grad_(parameter in chosen and parameter.requires_grad)
    return sum(parameter.requires_grad for parameter in chosen)
