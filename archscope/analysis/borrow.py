"""Run a network and hand it back as it was: nothing that the run changes stays changed.

The network's own modules run, so closures, replaced `forward`s and hooks behave as ever; only the
tensors that they hold are replaced by stand-ins for the time of the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

StandIn = Callable[[torch.Tensor], torch.Tensor]


def weightless(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same kind, shape, strides and dtype: no storage."""
    if is_lazy(tensor):
        lazy: Any = type(tensor)  # its constructor's keywords are missing from torch's own stubs
        return cast(
            torch.Tensor,
            lazy(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype),
        )
    with torch.no_grad():
        twin = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
        )  # `empty_like` would import sympy
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad)


def with_storage(tensor: torch.Tensor) -> torch.Tensor:
    """A parameter that shares its values, so that gradients land elsewhere; a copy of a buffer."""
    if isinstance(tensor, nn.Parameter) and not is_lazy(tensor):
        return nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
    return tensor.detach().clone()


@contextmanager
def borrowed(network: nn.Module, stand_in: StandIn) -> Iterator[nn.Module]:
    """Lend a network whose tensors are stand-ins; restore it and the random state afterwards.

    Parameters, buffers and tensors kept as plain attributes (alone, or in a list, tuple or
    dictionary) are replaced one for one, so that sharing stays sharing.
    Attributes, flags, hooks and classes that the run sets are put back, also after an exception.

    Args:
        network: any module; shared and nested modules are visited once.
        stand_in: `weightless` or `with_storage`.
    """
    modules = list(network.modules())
    saved = [(module, type(module), _snapshot(module.__dict__)) for module in modules]
    random_state, torch_state = random.getstate(), torch.get_rng_state()
    try:
        exchange = _Exchange(stand_in)
        for module in modules:
            for key, value in module.__dict__.items():
                module.__dict__[key] = exchange(value)
        yield network
    finally:
        for module, kind, attributes in saved:
            if type(module) is not kind:
                module.__class__ = kind
            _restore(module.__dict__, attributes)
        random.setstate(random_state)
        torch.set_rng_state(torch_state)


class _Exchange:
    """Replaces tensors by stand-ins, the same tensor always by the same one."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.twins: dict[int, torch.Tensor] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in self.twins:
                self.twins[id(value)] = self.stand_in(value)
            return self.twins[id(value)]
        kind = type(value)
        if kind in (list, tuple) and any(isinstance(item, torch.Tensor) for item in value):
            return kind(self(item) for item in value)
        if isinstance(value, dict) and any(isinstance(v, torch.Tensor) for v in value.values()):
            for key, item in value.items():
                value[key] = self(item)
        return value


_Snapshot = dict[str, tuple[Any, Any]]


def _snapshot(attributes: dict[str, Any]) -> _Snapshot:
    """Each attribute with a copy of its contents where it is a container."""
    return {
        key: (value, value.copy() if isinstance(value, (dict, list, set)) else None)
        for key, value in attributes.items()
    }


def _restore(attributes: dict[str, Any], snapshot: _Snapshot) -> None:
    attributes.clear()
    for key, (value, contents) in snapshot.items():
        attributes[key] = value
        if isinstance(value, list):
            value[:] = contents
        elif contents is not None:
            value.clear()
            value.update(contents)
