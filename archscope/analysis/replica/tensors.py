"""Stand-ins for tensors: those that share memory share it again, and a view is a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from archscope.analysis.jagged import copied, is_jagged
from archscope.analysis.replica.graph import Replica

PLAIN = (torch.Tensor, nn.Parameter)
ADDRESS: Callable[[torch.Tensor], int] = torch._C._storage_address  # type: ignore[attr-defined]


def copy_tensor(copies: Replica, value: torch.Tensor) -> torch.Tensor:
    twin = _twin(copies, value)
    copies.add(value, twin)
    if twin is not value and (attributes := value.__dict__) and not twin.__dict__:
        twin.__dict__.update({key: copies.twin(item) for key, item in attributes.items()})
    return twin


def _twin(copies: Replica, value: torch.Tensor) -> torch.Tensor:
    if type(value) not in PLAIN or value.layout is not torch.strided:
        if is_jagged(value):
            return copied(value, copies.twin)
        return copies.stand_in(value)
    address = ADDRESS(value)
    shared = copies.storages.get(address)
    if shared is None:
        if value.is_contiguous() and value.untyped_storage().nbytes() == value.nbytes:
            twin = copies.storages[address] = copies.stand_in(value)
            return twin
        elements = value.untyped_storage().nbytes() // value.itemsize
        flat = torch.empty(0, dtype=value.dtype, device=value.device)
        flat.set_(value.untyped_storage(), 0, (elements,), (1,))
        shared = copies.storages[address] = copies.stand_in(flat)
    if value.requires_grad and value._base is not None and value.grad_fn is not None:
        with torch.enable_grad():
            return cast(torch.Tensor, value._view_func_unsafe(copies.twin(value._base)))
    twin = torch.empty(0, dtype=value.dtype, device=shared.device)
    twin.set_(shared.untyped_storage(), value.storage_offset(), value.shape, value.stride())
    if isinstance(value, nn.Parameter):
        return nn.Parameter(twin, value.requires_grad)
    return twin.requires_grad_(value.requires_grad)
