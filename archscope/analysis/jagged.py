"""Nested tensors in the jagged layout: rows of several lengths, one after the other in one tensor.

Their operators are Python that calls operators on the packed rows and the offsets, which are seen
and counted. Attention alone leaves PyTorch's operators for a kernel; here each sequence has its
own, as the kernel computes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archscope.analysis import dispatch
from archscope.process import patched_here

OPERATORS = "torch.nested._internal.ops"
"""Where PyTorch looks for what an operator does with jagged tensors, imported with the first."""


def is_jagged(value: Tensor) -> bool:
    """Whether a tensor is nested, in the layout that PyTorch goes on with."""
    return value.layout is torch.jagged


def are_jagged(types: Any) -> bool:
    """Whether one of the subclasses that an operator was given is that of jagged tensors."""
    return any(kind.__name__ == "NestedTensor" for kind in types)


def unpacked(func: Any, types: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What an operator on jagged tensors returns, by operators on what they are made of.

    PyTorch names their device to it, which is meta; what they are made of is there already.
    """
    from torch.nested._internal.nested_tensor import NestedTensor

    kwargs = {key: value for key, value in kwargs.items() if key != "device" or _is_real(value)}
    return NestedTensor.__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


def _is_real(device: torch.device | None) -> bool:
    return device is not None and device.type != "meta"


def copied(value: Any, twin: Callable[[Any], Any]) -> Tensor:
    """A jagged tensor of twins of its rows and offsets.

    Args:
        value: the original.
        twin: of a tensor, the same one for the same offsets, by which PyTorch knows that two
            tensors have rows of equal lengths.
    """
    from torch.nested._internal.nested_tensor import NestedTensor

    lengths = None if value._lengths is None else twin(value._lengths)
    made = NestedTensor(
        twin(value._values.detach()),
        twin(value._offsets),
        lengths=lengths,
        _ragged_idx=value._ragged_idx,
        _metadata_cache={key: twin(item) for key, item in value._metadata_cache.items()},
    )
    return made.requires_grad_(value.requires_grad)


@contextmanager
def attention_in_sequences() -> Iterator[None]:
    """Let attention of jagged tensors, in a thread that counts, be that of each sequence."""
    ops: Any = sys.modules.get(OPERATORS)
    if ops is None:
        yield
        return
    original = ops.jagged_scaled_dot_product_attention

    def attention(query: Any, key: Any, value: Any, *args: Any, **options: Any) -> Any:
        if dispatch.run.attention_kernels is None:
            return original(query, key, value, *args, **options)
        rows = [
            F.scaled_dot_product_attention(*sequences, *args, **options)
            for sequences in zip(query.unbind(), key.unbind(), value.unbind(), strict=True)
        ]
        packed = torch.cat([row.transpose(0, 1) for row in rows])
        return torch.nested.nested_tensor_from_jagged(packed, query.offsets()).transpose(1, 2)

    with patched_here([(ops, "jagged_scaled_dot_product_attention", attention)]):
        yield


def packed_shape(value: Any) -> tuple[int, ...]:
    """The shape of all rows, one after the other."""
    return tuple(value._values.shape)
