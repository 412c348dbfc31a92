"""The tensors in whatever a module takes and returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.jagged import is_jagged, packed_shape


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings, dataclasses and plain result objects."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


_PLAIN = frozenset({Tensor})


def shapes_of(value: Any) -> tuple[tuple[int, ...], ...]:
    """The shape of each tensor that `tensors` finds."""
    if type(value) is Tensor:
        return (tuple(value.shape),)
    if type(value) in (tuple, list):
        if len(value) == 1:
            return shapes_of(value[0])
        if _PLAIN.issuperset(map(type, value)):
            return tuple([tuple(tensor.shape) for tensor in value])
    return tuple(shape_of(tensor) for tensor in tensors(value))


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The sides of a tensor; of a jagged one those of its packed rows."""
    return packed_shape(tensor) if is_jagged(tensor) else tuple(tensor.shape)


def reached(value: Any) -> Iterator[Tensor]:
    """Every tensor that a result holds, in objects of any class too: distributions, graphs, …"""
    seen: dict[int, Any] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Tensor):
            yield item
            continue
        if id(item) in seen or isinstance(item, _NO_TENSORS) or callable(item):
            continue
        seen[id(item)] = item
        if isinstance(item, Mapping):
            pending += reversed([*item.values()])
        elif isinstance(item, Iterable) and not hasattr(item, "__next__"):
            pending += reversed([*item])
        attributes = [*getattr(item, "__dict__", {}).values()]
        for kind in type(item).__mro__:
            slots = vars(kind).get("__slots__", ())
            names = (slots,) if isinstance(slots, str) else slots
            attributes += [getattr(item, name, None) for name in names]
        pending += reversed(attributes)


_NO_TENSORS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
