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

from archscope.errors import ArchscopeError

StandIn = Callable[[torch.Tensor], torch.Tensor]


def weightless(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same kind, shape, strides and dtype: no storage.

    A buffer that is on meta already stands in for itself.
    """
    if is_lazy(tensor):
        lazy: Any = type(tensor)  # its constructor's keywords are missing from torch's own stubs
        return cast(
            torch.Tensor,
            lazy(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype),
        )
    kind, trainable = type(tensor), tensor.requires_grad
    if kind is torch.Tensor and tensor.is_meta and not trainable:
        return tensor
    twin = _empty_twin(tensor)
    if kind is nn.Parameter:
        return nn.Parameter(twin, trainable)
    if kind is not torch.Tensor and _is_plain(tensor):
        twin = twin.as_subclass(kind)
        twin.__dict__.update(tensor.__dict__)
    elif isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, trainable)
    return twin.requires_grad_(trainable)


def _empty_twin(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        dtype = torch.float32 if tensor.is_quantized else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device="meta")
    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
    )  # `empty_like` would import sympy


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a subclass is one storage with a name: it does not wrap other tensors."""
    return type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


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

    Raises:
        ArchscopeError: as `owned`.
    """
    modules = list(members(network).values())
    saved = [_Snapshot(module) for module in modules]
    with owned(network):
        try:
            exchange = _Exchange(stand_in)
            with torch.no_grad():
                for module in modules:
                    exchange.within(module.__dict__)
                    module._compiled_call_impl = None  # `module.compile()`: run it as written
            yield network
        finally:
            for snapshot in saved:
                snapshot.restore()


def members(network: nn.Module) -> dict[str, nn.Module]:
    """Every module of a network once, under its first name, parents first.

    As `named_modules`, whose nested generators take time quadratic in the depth.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    pending = [("", network)]
    while pending:
        name, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found[name] = module
        prefix = f"{name}." if name else ""
        pending += [
            (prefix + key, child)
            for key, child in reversed(module._modules.items())
            if child is not None
        ]
    return found


@contextmanager
def owned(network: nn.Module) -> Iterator[nn.Module]:
    """Use a network that was built for this run alone: only the random state is restored.

    Raises:
        ArchscopeError: the network tried to end the program.
    """
    random_state, torch_state = random.getstate(), torch.get_rng_state()
    try:
        yield network
    except SystemExit as leave:
        call = getattr(leave, "archscope_call", None)
        whose = f"the code of {call.name}" if call is not None and call.name else "its code"
        raise ArchscopeError(
            type(network).__name__,
            f"{whose} ends the program (SystemExit: {leave.code})",
            "take the call of sys.exit out",
        ) from leave
    finally:
        random.setstate(random_state)
        torch.set_rng_state(torch_state)


class _Exchange:
    """Replaces tensors by stand-ins, the same tensor always by the same one."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.twins: dict[int, torch.Tensor] = {}

    def within(self, attributes: dict[str, Any]) -> None:
        """Replace the tensors that are values of a dictionary or stand in a container there."""
        for key, value in attributes.items():
            if isinstance(value, torch.Tensor):
                attributes[key] = self.twin(value)
            elif isinstance(value, dict):
                for name, item in value.items():
                    if isinstance(item, torch.Tensor):
                        value[name] = self.twin(item)
            elif type(value) in (list, tuple) and any(
                isinstance(item, torch.Tensor) for item in value
            ):
                attributes[key] = type(value)(
                    self.twin(item) if isinstance(item, torch.Tensor) else item for item in value
                )

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        found = self.twins.get(id(tensor))
        if found is None:
            found = self.twins[id(tensor)] = self.stand_in(tensor)
        return found


class _Snapshot:
    """A module's class and attributes, with the contents of those that are containers."""

    __slots__ = ("attributes", "contents", "kind", "module")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kind = type(module)
        self.attributes = module.__dict__.copy()
        self.contents = [
            (value, value.copy() if value else None)
            for value in self.attributes.values()
            if isinstance(value, (dict, list, set))
        ]

    def restore(self) -> None:
        if type(self.module) is not self.kind:
            self.module.__class__ = self.kind
        attributes = self.module.__dict__
        attributes.clear()
        attributes.update(self.attributes)
        for container, contents in self.contents:
            if container or contents:
                container.clear()
            if isinstance(container, list):
                container.extend(contents or ())
            elif contents:
                container.update(contents)
