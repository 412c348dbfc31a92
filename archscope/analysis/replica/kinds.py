"""How objects of each kind are copied: by their items, attributes and slots, below their methods.

So a mapping that refuses to be filled, a property or a `__setattr__` is neither asked nor in the
way, and no code of the user's runs.
"""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from contextvars import ContextVar
from enum import Enum
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import torch
from torch import nn

from archscope.analysis.replica import code, containers, handles, objects, sharded, tensors
from archscope.analysis.replica.graph import Copier, Replica


def shared(copies: Replica, value: Any) -> Any:
    """What nothing changes, or what belongs to the process, is its own copy."""
    return value


_EXACT: dict[type, Copier] = {
    dict: containers.copy_dict,
    OrderedDict: containers.copy_ordered_dict,
    list: containers.copy_list,
    tuple: containers.copy_tuple,
    set: containers.copy_set,
    frozenset: containers.copy_frozenset,
    deque: containers.copy_deque,
    defaultdict: containers.copy_defaultdict,
    bytearray: containers.copy_bytearray,
    types.MappingProxyType: containers.copy_mapping_proxy,
    torch.Tensor: tensors.copy_tensor,
    nn.Parameter: tensors.copy_tensor,
    torch.Generator: handles.copy_generator,
    types.FunctionType: code.copy_function,
    types.CellType: code.copy_cell,
    types.MethodType: code.copy_method,
    types.BuiltinFunctionType: code.copy_builtin_method,
    types.MethodWrapperType: code.copy_builtin_method,
    **code.COPIERS,
    **handles.COPIERS,
}

_SHARED = (
    type, Enum, types.ModuleType, types.CodeType, slice, property, staticmethod, classmethod,
    types.MemberDescriptorType, types.GetSetDescriptorType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.GenericAlias, types.UnionType, attrgetter, itemgetter,
    methodcaller, ContextVar, torch._ops.OpOverload, torch._ops.OpOverloadPacket,
    torch._ops.HigherOrderOperator,
)  # fmt: skip

_READ_ONLY = ("torch.fx.graph", "torch.fx.node")
"""Graphs and their nodes, which a run only reads; a copied node would enter itself in one."""


def copier_of(kind: type) -> Copier:
    """How objects of a kind are copied."""
    exact = _EXACT.get(kind)
    if exact is not None:
        return exact
    if issubclass(kind, _SHARED) or kind.__module__ in _READ_ONLY:
        return shared
    if issubclass(kind, torch.Tensor):
        return tensors.copy_tensor
    if sharded.is_sharded(kind):
        return sharded.copy_module
    if issubclass(kind, nn.Module) and objects.is_plain(kind, object):
        return objects.copy_module
    return handles.copier_of(kind) or objects.copier_of(kind)
