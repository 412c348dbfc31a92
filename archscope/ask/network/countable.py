"""Which networks can be counted at all, and what their wrappers hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archscope.analysis.borrow import members
from archscope.analysis.jagged import is_jagged
from archscope.errors import ArchscopeError


def refuse_nested(argument: str, where: str, tensor: Tensor) -> None:
    """Refuse a nested tensor of the strided layout, whose operators cannot be seen."""
    if tensor.is_nested and not is_jagged(tensor):
        raise ArchscopeError(
            argument,
            f"{where}is a nested tensor of the strided layout, whose operators cannot be observed",
            "make it with layout=torch.jagged, or pad it",
        )


def require_countable(name: str, network: nn.Module) -> None:
    """Refuse networks whose operators or module calls cannot be seen.

    Raises:
        ArchscopeError: a part is a ScriptModule, holds a nested tensor, or
            holds a module that it is itself a part of.
    """
    parts = members(network)
    edges = sum(len(part._modules) for part in parts.values())
    loop = None if edges < len(parts) else _held_by_its_part(network)  # else it is a tree
    if loop is not None:
        raise ArchscopeError(
            name,
            f"{loop} is a module that holds it in turn, so PyTorch's own eval() never ends",
            "store that one where PyTorch looks for no modules: in a list, self.parent = [parent]",
        )
    for path, part in parts.items():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"{path} is" if path else "is"
            raise ArchscopeError(
                name,
                f"{where} a ScriptModule, whose layers and operators cannot be observed",
                "give the nn.Module that it was made from",
            )
        for key, tensor in _tensors(part):
            if tensor.is_nested and not is_lazy(tensor):
                refuse_nested(name, f"{path}.{key} ".lstrip("."), tensor)


# Asking PyTorch's metaclass whether a value is a tensor takes longer than this look-up, and a
# network of 400 modules has 10,000 attributes.
_PLAIN = frozenset({bool, int, float, str, tuple, list, dict, set, OrderedDict, type(None)})


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters, buffers and tensors kept as plain attributes of one module."""
    for attributes in (module._parameters, module._buffers, vars(module)):
        if _PLAIN.issuperset(map(type, attributes.values())):
            continue
        for key, value in attributes.items():
            if type(value) not in _PLAIN and isinstance(value, Tensor):
                yield key, value


def _held_by_its_part(network: nn.Module) -> str | None:
    """The name of a child that is also one of its own holders, `None` where there is none."""
    holders: set[int] = set()
    done: set[int] = set()
    pending: list[tuple[str, nn.Module, bool]] = [("", network, False)]
    while pending:
        name, module, left = pending.pop()
        key = id(module)
        if left:
            holders.remove(key)
            done.add(key)
        elif key in holders:
            return name
        elif key not in done:
            holders.add(key)
            pending.append((name, module, True))
            prefix = f"{name}." if name else ""
            pending += [
                (prefix + child, part, False)
                for child, part in module._modules.items()
                if part is not None
            ]
    return None


@cache
def unwrapped(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The network inside wrappers that cannot run on meta, and a note for each.

    `nn.DataParallel` and `DistributedDataParallel` split batches over devices, and a
    `torch.compile`d module would be compiled: both do the work of the module inside.
    """
    notes: list[str] = []
    while True:
        kind = type(module).__name__
        if kind == "OptimizedModule":
            module = module._orig_mod  # type: ignore[assignment]
        elif kind in ("DataParallel", "DistributedDataParallel"):
            module = module.module  # type: ignore[assignment]
        else:
            return module, tuple(notes)
        notes.append(f"Counted the {type(module).__name__} inside its {kind} wrapper.")
