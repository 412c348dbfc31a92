"""Whether two modules are built alike, in all that a forward pass on meta can see."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from operator import is_
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archscope.analysis.values.contents import is_meta

KNOWN_CODE = ("torch.nn.modules.", "torchvision.", "timm.", "archscope.zoo.")
"""Where the classes come from whose forward pass keeps no state outside its module."""

_UNUSED_IN_EVALUATION = {"StochasticDepth": "p", "DropPath": "drop_prob"}
"""The probability of skipping a block, which differs from block to block."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HELD = ("_parameters", "_buffers", "_modules")

_LOOKED_AT = frozenset(
    (
        *_HOOKS,
        *_HELD,
        "_non_persistent_buffers_set",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks_with_kwargs",
        "_is_full_backward_hook",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    )
)
"""Attributes that are compared on their own, or that no forward pass depends on."""

PLAIN = (bool, int, float, str, type(None), torch.dtype)
_CODE = (type, FunctionType, BuiltinFunctionType)


def outlines(modules: Iterable[nn.Module]) -> dict[int, int]:
    """A number for each block beside one of the same outline in the same container.

    A cheap look that spares the blocks of a network that repeats none the careful one.
    """
    numbers: dict[int, int] = {}
    for parent in modules:
        groups: dict[Any, list[int]] = {}
        for block in parent._modules.values():
            if block is not None and block._modules:
                groups.setdefault(_outline(block), []).append(id(block))
        for group in groups.values():
            if len(group) > 1:
                numbers.update(dict.fromkeys(group, len(numbers)))
    return numbers


def _outline(block: nn.Module) -> Any:
    """Its class, with the classes and the weights' shapes of its children."""
    outline: list[Any] = [type(block)]
    for child in block._modules.values():
        weight = None if child is None else child._parameters.get("weight")
        outline.append(type(child))
        outline.append(None if weight is None or is_lazy(weight) else weight.shape)
    return tuple(outline)


@cache
def _is_known(kind: type[nn.Module]) -> bool:
    """Whether a class and its way of being called come from code that keeps no other state."""
    return (
        kind.__module__.startswith(KNOWN_CODE)
        and getattr(kind.forward, "__module__", "").startswith(KNOWN_CODE)
        and kind.__call__ is nn.Module.__call__
    )


class State:
    """What decides a module's forward pass, as it was when this was made."""

    __slots__ = ("attributes", "held", "module")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = module.__dict__.copy()
        self.held = _held(module)

    def holds(self) -> bool:
        """Whether the module is as it was."""
        now = self.module.__dict__
        return (
            self.attributes.keys() == now.keys()
            and all(map(is_, self.attributes.values(), now.values()))
            and all(map(is_, self.held, _held(self.module)))
        )


def _held(module: nn.Module) -> tuple[Any, ...]:
    """The parameters, buffers and children that a module holds now."""
    return (
        *module._parameters.values(),
        *module._buffers.values(),
        *module._modules.values(),
    )


def is_alike(state: State, module: nn.Module) -> bool:
    """Whether a module of known code is as another was, in all that a forward pass on meta sees.

    Their children are not looked at.
    """
    kind = type(module)
    before, now = state.attributes, module.__dict__
    if kind is not type(state.module) or before.keys() != now.keys():
        return False
    if not _is_known(kind):  # type: ignore[arg-type]  # a class is hashable
        return False
    for hooks in _HOOKS:
        if now[hooks] or before[hooks]:
            return False
    for names in _HELD:
        if before[names].keys() != now[names].keys():
            return False
    if not all(map(_look_alike, state.held, _held(module))):
        return False
    unused = "" if module.training else _UNUSED_IN_EVALUATION.get(kind.__name__)
    for name, value in before.items():
        other = now[name]
        if value is other and type(value) in PLAIN:
            continue
        if name not in _LOOKED_AT and name != unused and not _is_same(value, other):
            return False
    return True


def _is_same(value: Any, other: Any) -> bool:
    """Whether two constructor facts are the same; never for what is neither a value nor code."""
    kind = type(value)
    if kind is not type(other):
        return False
    if kind in PLAIN:
        return bool(value == other)
    if kind in (tuple, list, torch.Size):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if kind is partial:
        return (
            _is_same(value.func, other.func)
            and _is_same(value.args, other.args)
            and _is_same(list(value.keywords.items()), list(other.keywords.items()))
        )
    known = isinstance(value, _CODE) and (value.__module__ or "").startswith(("torch", *KNOWN_CODE))
    return known and value is other


def _look_alike(held: Any, other: Any) -> bool:
    """Whether two parameters or buffers on meta are interchangeable; of children, whether both are.

    Values do not exist on meta.
    """
    if held is None or other is None:
        return held is other
    if isinstance(held, nn.Module):
        return True
    return (
        type(held) is type(other)
        and type(held) in (Tensor, nn.Parameter)
        and is_meta(held)
        and is_meta(other)
        and held.shape == other.shape
        and held.stride() == other.stride()
        and held.dtype == other.dtype
        and held.requires_grad == other.requires_grad
    )
