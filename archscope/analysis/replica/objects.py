"""Copies of objects by their attributes, slots and, where they are containers, items."""

from __future__ import annotations

import copyreg
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from torch import nn

from archscope.analysis.replica import containers
from archscope.analysis.replica.graph import IMMUTABLE, Copier, Filler, Replica


def copy_module(copies: Replica, value: nn.Module) -> Any:
    return copies.add(value, object.__new__(type(value)), fill_module)


# `nn.Module` gives each module 15 dictionaries and sets of hooks and parts, of which all but a few
# stay empty: in a network of 400 modules nine of ten objects. They are nobody else's, and need no
# memo.
_OWN = frozenset(key for key, item in vars(nn.Module()).items() if isinstance(item, (dict, set)))
_MADE_EMPTY = (OrderedDict, dict, set)


def fill_module(copies: Replica, twin: nn.Module, value: nn.Module) -> None:
    """Set the attributes of a copied module."""
    attributes = twin.__dict__
    attributes.update(value.__dict__)
    for key, item in [*attributes.items()]:
        kind = type(item)
        if kind in IMMUTABLE:
            continue
        if key in _OWN and not item and kind in _MADE_EMPTY:
            attributes[key] = kind()
        else:
            attributes[key] = copies.twin(item)
    fill_slots(copies, twin, value)
    attributes["_compiled_call_impl"] = None  # `module.compile()`: it runs as it is written


def fill_attributes(copies: Replica, twin: Any, value: Any) -> None:
    """Set attributes and slots as `object` does, whatever the class makes of that."""
    kind: type = type(value)
    if kind.__dictoffset__:
        attributes = twin.__dict__
        for key, item in list(value.__dict__.items()):
            attributes[key] = item if type(item) in IMMUTABLE else copies.twin(item)
    fill_slots(copies, twin, value)


def fill_slots(copies: Replica, twin: Any, value: Any) -> None:
    """Set slots as `object` does."""
    kind: type = type(value)
    for slot in _slots(kind):
        try:
            item = slot.__get__(value, kind)
        except AttributeError:
            continue
        slot.__set__(twin, copies.twin(item))


@cache
def _slots(kind: type) -> tuple[types.MemberDescriptorType, ...]:
    """The slots that the Python classes of an object declare."""
    return tuple(
        member
        for base in kind.__mro__
        if base.__flags__ & _HEAP_TYPE and "__slots__" in vars(base)
        for member in vars(base).values()
        if isinstance(member, types.MemberDescriptorType)
    )


_HEAP_TYPE = 1 << 9
"""CPython's `Py_TPFLAGS_HEAPTYPE`: set for every class that Python code makes."""

_POINTER = 8


def is_plain(kind: type, base: type) -> bool:
    """Whether Python knows all that an object has beyond one of its base classes."""
    pointers = len(_slots(kind)) + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    known = base.__basicsize__ + _POINTER * pointers
    return kind.__basicsize__ <= known and bool(kind.__flags__ & _HEAP_TYPE)


_BASES: tuple[tuple[type, Filler], ...] = (
    (OrderedDict, containers.fill_ordered_dict),
    (defaultdict, containers.fill_dict),
    (dict, containers.fill_dict),
    (list, containers.fill_list),
    (set, containers.fill_set),
    (deque, containers.fill_deque),
)

_VALUES: tuple[type, ...] = (tuple, frozenset, str, bytes, int, float, complex)


def copier_of(kind: type) -> Copier:
    """How objects of a class are copied that is not one of Python's or PyTorch's own."""
    for base, fill in _BASES:
        if issubclass(kind, base):
            return partial(_copy_container, base, fill)
    for base in _VALUES:
        if issubclass(kind, base) and not hasattr(kind, "n_sequence_fields"):
            return partial(_copy_value, base)
    return _copy_object if is_plain(kind, object) else copy_by_protocol


def _copy_container(base: type, fill: Filler, copies: Replica, value: Any) -> Any:
    twin: Any = base.__new__(type(value))  # type: ignore[call-overload]
    if base is deque:
        deque.__init__(twin, (), value.maxlen)
    elif base is defaultdict:
        defaultdict.__init__(twin, copies.twin(value.default_factory))

    def fill_both(copies: Replica, twin: Any, value: Any) -> None:
        fill(copies, twin, value)
        fill_attributes(copies, twin, value)

    return copies.add(value, twin, fill_both)


def _copy_value(base: type, copies: Replica, value: Any) -> Any:
    """An object that is a tuple, a number or a text; one without attributes may be its own copy."""
    content: Any = value
    if base is tuple:
        content = copies.twins(tuple(tuple.__iter__(value)))
    elif base is frozenset:
        content = containers.copy_frozenset(copies, frozenset(value))
    unchanged = base not in (tuple, frozenset) or all(
        twin is item for twin, item in zip(content, base.__iter__(value), strict=False)
    )
    if unchanged and not getattr(value, "__dict__", None):
        return copies.add(value, value)
    make: Callable[..., Any] = base.__new__
    return copies.add(value, make(type(value), content), fill_attributes)


def _copy_object(copies: Replica, value: Any) -> Any:
    return copies.add(value, object.__new__(type(value)), fill_attributes)


def copy_by_protocol(copies: Replica, value: Any) -> Any:
    """An object of a C type, as its author lets it be copied or pickled.

    Raises:
        ArchscopeError: he does not, and the object is no handle of PyTorch's own.
    """
    kind = type(value)
    try:
        own = getattr(kind, "__deepcopy__", None)
        if own is not None:
            return copies.add(value, own(value, {}))
        reduce = copyreg.dispatch_table.get(kind)
        parts: Any = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(parts, str):
            return copies.add(value, value)
        twin = parts[0](*[copies.of(part) for part in parts[1]])
    except Exception as error:
        if kind.__module__.partition(".")[0] == "torch":
            return copies.add(value, value)
        raise copies.refusal(value) from error
    copies.add(value, twin)
    _restore(copies, twin, *parts[2:])
    return twin


def _restore(
    copies: Replica, twin: Any, state: Any = None, items: Any = None, pairs: Any = None, *_: Any
) -> None:
    if state is not None:
        state = copies.of(state)
        if hasattr(twin, "__setstate__"):
            twin.__setstate__(state)
        else:
            attributes, slots = state if isinstance(state, tuple) else (state, None)
            twin.__dict__.update(attributes or {})
            for key, item in (slots or {}).items():
                setattr(twin, key, item)
    for item in items or ():
        twin.append(copies.of(item))
    for key, item in pairs or ():
        twin[copies.of(key)] = copies.of(item)
