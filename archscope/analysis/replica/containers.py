"""Copies of the containers that Python brings along."""

from __future__ import annotations

import gc
import types
from collections import OrderedDict, defaultdict, deque
from typing import Any

from archscope.analysis.replica.graph import IMMUTABLE, Replica


def copy_dict(copies: Replica, value: dict[Any, Any]) -> Any:
    return copies.add(value, {}, fill_dict if value else None)


def copy_ordered_dict(copies: Replica, value: OrderedDict[Any, Any]) -> Any:
    twin: OrderedDict[Any, Any] = OrderedDict()
    copies.add(value, twin, fill_ordered_dict if value else None)
    if attributes := value.__dict__:
        twin.__dict__.update({key: copies.twin(item) for key, item in attributes.items()})
    return twin


def copy_defaultdict(copies: Replica, value: defaultdict[Any, Any]) -> Any:
    return copies.add(value, defaultdict(copies.twin(value.default_factory)), fill_dict)


def fill_dict(copies: Replica, twin: dict[Any, Any], original: dict[Any, Any]) -> None:
    """Fill a dictionary below whatever a subclass makes of that."""
    twins = {
        key if type(key) in IMMUTABLE else copies.ready(key): (
            item if type(item) in IMMUTABLE else copies.twin(item)
        )
        for key, item in list(dict.items(original))
    }
    dict.update(twin, twins)


def fill_ordered_dict(
    copies: Replica, twin: OrderedDict[Any, Any], original: OrderedDict[Any, Any]
) -> None:
    put = OrderedDict.__setitem__
    for key, item in list(OrderedDict.items(original)):
        put(
            twin,
            key if type(key) in IMMUTABLE else copies.ready(key),
            item if type(item) in IMMUTABLE else copies.twin(item),
        )


def copy_list(copies: Replica, value: list[Any]) -> Any:
    return copies.add(value, [], fill_list if value else None)


def fill_list(copies: Replica, twin: list[Any], original: list[Any]) -> None:
    list.extend(twin, map(copies.twin, list.__iter__(original)))


def copy_deque(copies: Replica, value: deque[Any]) -> Any:
    return copies.add(value, deque(maxlen=value.maxlen), fill_deque)


def fill_deque(copies: Replica, twin: deque[Any], original: deque[Any]) -> None:
    deque.extend(twin, map(copies.twin, deque.__iter__(original)))


def copy_set(copies: Replica, value: set[Any]) -> Any:
    return copies.add(value, set(), fill_set if value else None)


def fill_set(copies: Replica, twin: set[Any], original: set[Any]) -> None:
    for item in list(set.__iter__(original)):
        set.add(twin, copies.ready(item))


def copy_frozenset(copies: Replica, value: frozenset[Any]) -> Any:
    items = tuple(value)
    twins = tuple(map(copies.ready, items))
    same = all(twin is item for twin, item in zip(twins, items, strict=True))
    return copies.add(value, value if same else frozenset(twins))


def copy_tuple(copies: Replica, value: tuple[Any, ...]) -> Any:
    if IMMUTABLE.issuperset(map(type, value)):
        return value
    return copies.add(value, copies.twins(value))


def copy_bytearray(copies: Replica, value: bytearray) -> Any:
    return copies.add(value, bytearray(value))


def copy_mapping_proxy(copies: Replica, value: types.MappingProxyType[Any, Any]) -> Any:
    (behind,) = gc.get_referents(value)
    return copies.add(value, types.MappingProxyType(copies.twin(behind)))
