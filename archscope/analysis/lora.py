"""Low-rank adaptation as a what-if: frozen linear layers with two small trained matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from archscope.analysis.borrow import members
from archscope.patterns import matching


def adapt(network: nn.Module, rank: int, pattern: str) -> int:
    """Freeze a network and add B·A of a rank to the linear layers that a pattern chooses.

    As Hu et al. (2022, section 4.1): h = W·x + B·A·x, where A is (rank, D_in) and B (D_out, rank).

    Args:
        network: a copy of the user's, which changes.
        rank: of the product.
        pattern: of the layers; see `archscope.patterns`.

    Returns:
        how many layers were adapted.
    """
    network.requires_grad_(False)
    chosen = [
        (module, sides)
        for name, module in members(network).items()
        if (sides := _sides(module)) and matching(pattern, name, type(module).__name__)
    ]
    for module, (inputs, outputs) in chosen:
        weight: Any = module.weight
        for name, shape in (("lora_A", (rank, inputs)), ("lora_B", (outputs, rank))):
            made = torch.empty(shape, dtype=weight.dtype, device=weight.device)
            module.register_parameter(name, nn.Parameter(made))
        module.forward = partial(_adapted, module, module.forward)
    return len(chosen)


def _sides(module: nn.Module) -> tuple[int, int] | None:
    """Input and output width of a linear layer, `None` of any other module.

    The `Conv1D` of transformers, in GPT-2, is one whose weight is (D_in, D_out).
    """
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and isinstance(weight, Tensor) and weight.dim() == 2:
        return weight.shape[0], weight.shape[1]
    return None


def _adapted(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    small = nn.functional.linear(x, module.lora_A)  # type: ignore[arg-type]
    return forward(x) + nn.functional.linear(small, module.lora_B)  # type: ignore[arg-type]
