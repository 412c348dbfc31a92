"""How many parameters a module has whose weights are stored in fewer bits: the logical ones.

What is stored may be half of them in bytes (4-bit weights), or no tensor at all (packed for a
kernel). Sizes and bytes are those of what is stored; parameters are what the layer computes with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

_BITS = (1, 2, 3, 4, 8)
"""Widths of a stored weight."""


def logical_elements(module: nn.Module, tensor: Tensor) -> int:
    """How many parameters a stored tensor stands for; 0 for a buffer that is no weight.

    bitsandbytes notes the shape of a 4-bit weight beside it. Elsewhere whole numbers that have as
    many bits as a linear layer of the module's sides in 1 to 8 bits are its weight (GPTQ, AWQ, and
    layers written by hand). A counter, which has no axis, is none.
    """
    shape = getattr(getattr(tensor, "quant_state", None), "shape", None)
    if shape is not None:
        return prod(shape)
    is_parameter = type(tensor) is nn.Parameter or isinstance(tensor, nn.Parameter)
    elements = tensor.numel() if is_parameter else 0
    if tensor.is_floating_point() or tensor.is_complex() or not tensor.dim():
        return elements
    inputs, outputs = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if not (isinstance(inputs, int) and isinstance(outputs, int)):
        return elements
    dense = inputs * outputs
    if any(p is not None and _is_dense(p, dense) for p in module._parameters.values()):
        return elements
    bits = 8 * tensor.nbytes
    return dense if any(bits == dense * width for width in _BITS) else elements


def _is_dense(weight: Tensor, elements: int) -> bool:
    return weight.is_floating_point() and weight.numel() == elements


def packed(module: nn.Module) -> Iterator[tuple[int, int, int]]:
    """Identity, elements and bytes of the weights that a module of `torch.ao` packed."""
    home = type(module).__module__
    if not home.startswith("torch.") or ".quantized" not in home:
        return
    recurrent: Any = module
    if hasattr(recurrent, "get_weight") and hasattr(recurrent, "get_bias"):
        by_name = recurrent.get_weight(), recurrent.get_bias()
        yield id(module), *_sizes([part for parts in by_name for part in parts.values()])
        return
    weights: Any = getattr(module, "_weight_bias", None)
    held: Any = getattr(module, "_packed_params", None)
    if weights is None or held is None:
        return
    inner = getattr(held, "_packed_params", held)
    parts = weights()
    yield id(inner), *_sizes(parts)


def _sizes(parts: Sequence[Tensor | None]) -> tuple[int, int]:
    """Elements and bytes."""
    held = [part for part in parts if part is not None]
    return sum(p.numel() for p in held), sum(p.numel() * p.itemsize for p in held)
