"""The tensors in whatever a module takes and returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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
        pending += reversed([*_items(item), *_attributes(item)])


def _items(value: Any) -> Iterable[Any]:
    """What an object gives when it is iterated; nothing where its author lets that fail."""
    if isinstance(value, Iterable) and not hasattr(value, "__next__"):
        with suppress(Exception):
            return [*(value.values() if isinstance(value, Mapping) else value)]
    return ()


def _attributes(value: Any) -> Iterable[Any]:
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(value, name, None)


_NO_TENSORS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
