"""How containers and caches are noted, and put back with as few steps as that takes.

Another thread may use them meanwhile. So none is ever emptied and filled again: what was added is
removed and what was replaced is set, item by item, below the methods of a user's own class.
"""

from __future__ import annotations

import functools
import gc
import itertools
import operator
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Undo = Callable[[], None]

MOST_ITEMS = 10_000
"""Of a container that is noted item by item; of a larger one what was added last is removed."""

CACHE: type = type(functools.lru_cache(lambda: None))

_NUMBERS = (type(None), bool, int, float, complex, str, bytes, range, slice)
_PLAIN = (*_NUMBERS, type, types.FunctionType)


def contents(value: Any, kind: type) -> tuple[Undo, list[Any]] | None:
    """How a container is put back, and what is in it; `None` for what is none."""
    for own, note in _NOTES:
        if issubclass(kind, own):
            return note(value, own)
    return None


def _of_dictionary(value: Any, own: Any) -> tuple[Undo, list[Any]]:
    if own.__len__(value) > MOST_ITEMS:
        return functools.partial(_shorten, value, own.__len__(value), own, own.popitem), []
    before = list(own.items(value))
    return functools.partial(_put_back_items, value, own, before), list(own.values(value))


def _of_list(value: Any, own: Any) -> tuple[Undo, list[Any]]:
    if own.__len__(value) > MOST_ITEMS:
        return functools.partial(_put_back_tail, value, own.__len__(value)), []
    before = own.copy(value)
    return functools.partial(_put_back_list, value, before), before


def _of_queue(value: Any, own: Any) -> tuple[Undo, list[Any]]:
    if own.__len__(value) > MOST_ITEMS:
        return functools.partial(_shorten, value, own.__len__(value), own, own.pop), []
    before = list(own.__iter__(value))
    return functools.partial(_put_back_queue, value, before), before


def _of_set(value: Any, own: Any) -> tuple[Undo, list[Any]]:
    if own.__len__(value) > MOST_ITEMS:
        return _nothing, []
    before = list(own.__iter__(value))
    return functools.partial(_put_back_set, value, before), before


_NOTES: tuple[tuple[type, Callable[[Any, Any], tuple[Undo, list[Any]]]], ...] = (
    (OrderedDict, _of_dictionary),
    (dict, _of_dictionary),
    (list, _of_list),
    (set, _of_set),
    (deque, _of_queue),
)


def _nothing() -> None:
    pass


def _shorten(value: Any, length: int, own: Any, drop: Callable[[Any], Any]) -> None:
    while own.__len__(value) > length:
        drop(value)


def _put_back_items(value: Any, own: Any, before: list[tuple[Any, Any]]) -> None:
    now = list(own.items(value))
    if len(now) >= len(before) and all(map(_is_same_item, now, before)):
        _shorten(value, len(before), own, own.popitem)  # the latest first, without hashing
        return
    before = [item for item in before if not _is_gone(item)]
    held, known = {id(key): content for key, content in now}, {id(key) for key, _ in before}
    for key, _ in now:
        if id(key) not in known:
            with suppress(Exception):
                own.__delitem__(value, key)
    for key, content in before:
        if held.get(id(key), held) is not content:
            own.__setitem__(value, key, content)
    if any(key is not item[0] for key, item in zip(own.keys(value), before, strict=False)):
        for key, content in before:
            own.pop(value, key)
            own.__setitem__(value, key, content)


def _is_same_item(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return one[0] is other[0] and one[1] is other[1]


def _is_gone(item: tuple[Any, Any]) -> bool:
    """Whether a weak dictionary has dropped an item since."""
    return any(issubclass(type(part), weakref.ref) and part() is None for part in item)


def _put_back_list(value: Any, before: list[Any]) -> None:
    """Numbers and texts added to a list are a log, and stay."""
    now = list.copy(value)
    if len(now) < len(before) or not all(map(operator.is_, now, before)):
        list.__setitem__(value, slice(None), before)
    else:
        _put_back_tail(value, len(before))


def _put_back_tail(value: Any, length: int) -> None:
    added = list.__getitem__(value, slice(length, None))
    if not all(map(is_plain, added)):
        list.__delitem__(value, slice(length, None))


def _put_back_queue(value: Any, before: list[Any]) -> None:
    now = list(deque.__iter__(value))
    if len(now) >= len(before) and all(map(operator.is_, now, before)):
        _shorten(value, len(before), deque, deque.pop)
    else:
        deque.clear(value)
        deque.extend(value, before)


def _put_back_set(value: Any, before: list[Any]) -> None:
    now = list(set.__iter__(value))
    held, known = set(map(id, now)), set(map(id, before))
    if held == known:
        return
    for item in now:
        if id(item) not in known:
            set.discard(value, item)
    for item in before:
        if id(item) not in held and not _is_gone((item, None)):
            set.add(value, item)


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts and names of types alone."""
    kind = type(value)
    if kind in (tuple, list):
        return all(map(is_plain, value))
    return kind in _PLAIN or (kind.__module__ == "torch" and kind.__name__ in ("dtype", "device"))


def of_cache(cache: Any) -> Undo:
    """How a `functools.lru_cache` is put back."""
    return functools.partial(_forget, cache, cache.cache_info())


def _forget(cache: Any, before: Any) -> None:
    """Remove the results that a run has added, unless they are plain.

    One with a greatest size cannot be told which to forget, so it forgets all, as it may at any
    time: whoever uses it computes them again.
    """
    now = cache.cache_info()
    if now.misses == before.misses:
        return
    grown = now.currsize - before.currsize  # a call that fails is a miss too, and adds nothing
    held = [part for part in gc.get_referents(cache) if part is not vars(cache)]
    results = [part for part in held if type(part) is dict]
    if now.maxsize is None:
        cleared = grown < 0 or now.misses < before.misses
        if not cleared and len(results) == 1 and len(results[0]) == now.currsize:
            for key in list(itertools.islice(reversed(results[0]), grown)):
                if not (is_plain(key) and is_plain(results[0][key])):
                    del results[0][key]
            return
    elif len(results) == 1 and all(is_plain(part) or type(part) in (dict, object) for part in held):
        return
    cache.cache_clear()
