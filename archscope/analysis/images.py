"""Images and kernels whose channels are last in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from archscope.analysis import borrow
from archscope.analysis.replica import StandIn
from archscope.analysis.values.contents import PLAIN

CONVOLUTION = torch.ops.aten.convolution.default


def channels_last(tensor: Tensor) -> Tensor:
    """A stand-in as `borrow.weightless`, of which images and kernels are ordered channels last."""
    kind = type(tensor)
    dense = kind in PLAIN and tensor.layout is torch.strided
    if not dense or tensor.dim() != 4 or not tensor.is_floating_point():
        return borrow.weightless(tensor)
    ordered = torch.empty(
        tensor.shape, dtype=tensor.dtype, device="meta", memory_format=torch.channels_last
    )
    if kind is nn.Parameter:
        return nn.Parameter(ordered, tensor.requires_grad)
    return ordered.requires_grad_(tensor.requires_grad)


@contextmanager
def owned_last(
    network: nn.Module, arguments: Any, stand_in: StandIn
) -> Iterator[tuple[nn.Module, Any]]:
    """As `borrow.owned`; the kernels and images of a network are channels last while it is lent.

    They alone are exchanged: a copy of the network takes half as long as its run.
    """
    given: list[tuple[dict[str, Any], str, Tensor]] = []
    twins: dict[int, Tensor] = {}
    with borrow.owned(network, arguments, stand_in) as lent:
        try:
            for module in borrow.members(network).values():
                held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
                for tensors in held:
                    for name, tensor in tensors.items():
                        if type(tensor) in PLAIN and tensor.dim() == 4:
                            given.append((tensors, name, tensor))
                            twin = twins.get(id(tensor))
                            twins[id(tensor)] = channels_last(tensor) if twin is None else twin
            for tensors, name, tensor in given:
                tensors[name] = twins[id(tensor)]
            yield lent
        finally:
            for tensors, name, tensor in given:
                tensors[name] = tensor


def images_last(value: Any) -> Any:
    """An argument of a call, a batch of images ordered channels last."""
    if isinstance(value, Tensor) and value.dim() == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def ordered(function: Any, args: Sequence[Any], result: Any) -> Any:
    """The result of an operator on meta, ordered as a GPU's.

    Its convolutions answer in the order of their input or weight; the meta kernel of convolution
    always answers contiguously.
    """
    if function is not CONVOLUTION or result.dim() != 4:
        return result
    if not any(map(_is_channels_last, args[:2])):
        return result
    return torch.empty(
        result.shape, dtype=result.dtype, device="meta", memory_format=torch.channels_last
    )


def _is_channels_last(tensor: Tensor) -> bool:
    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )
