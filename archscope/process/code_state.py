"""What code holds outside of objects: global names, attributes of classes, cells and caches.

A network's `forward` may fill a table of its module, count calls in its class or remember a result
with `functools.lru_cache`. After a run these would hold tensors of the run, without values, for
whoever calls the network next. So they are noted before a run, and put back after it.

Only what the code names is looked at: its own functions and classes, and those that these call;
of an installed package the classes of the network and its caches alone.
"""

from __future__ import annotations

import functools
import operator
import random
import sys
import threading
import types
import weakref
from collections import ChainMap, UserDict, UserList
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from archscope.process.arrays import is_as_before, is_ordinary, of_tensor, rewrite
from archscope.process.bytecode import codes, names_of
from archscope.process.contents import CACHE, contents, of_cache

STATELESS = frozenset(sys.stdlib_module_names) | {
    "archscope", "einops", "numpy", "timm", "torch", "torchvision",
}  # fmt: skip
"""Packages whose code keeps nothing of its arguments outside of objects."""

MOST_OBJECTS = 20_000
"""Looked at before a run; what is reached later stays as the run leaves it."""

MOST_BYTES = 2**20
"""Of an array or a tensor that is copied, should it be written to."""

MOST_BYTES_IN_ALL = 2**23

_MISSING: Any = object()
_HOLDS_NOTHING = frozenset((
    type(None), bool, int, float, complex, str, bytes, range, slice, types.CodeType,
    types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.GenericAlias, types.UnionType, object,
))  # fmt: skip
_OPEN = (
    types.SimpleNamespace, UserDict, UserList, ChainMap, threading.local, weakref.WeakSet,
    weakref.WeakKeyDictionary, weakref.WeakValueDictionary,
)  # fmt: skip
"""Kinds of the standard library with attributes of whoever made one."""

_BUILT_IN = (types.GetSetDescriptorType, types.MemberDescriptorType)

_LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event)

# Asked of the types themselves: a metaclass, a property or a proxy may answer anything else.
_names_in: Callable[[type], types.MappingProxyType[str, Any]] = vars(type)["__dict__"].__get__
_bases: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
_home: Callable[[type], str | None] = vars(type)["__module__"].__get__


def is_stateless(name: object) -> bool:
    """Whether code of a module, by its name, keeps nothing outside of objects."""
    return isinstance(name, str) and _package(name) in STATELESS


@functools.lru_cache(maxsize=4096)
def _package(name: str) -> str:
    return name.partition(".")[0]


@functools.lru_cache(maxsize=1024)
def _is_installed(name: str | None) -> bool:
    """Whether a module is of a package that was installed, which has no tables in its modules."""
    file = getattr(sys.modules.get(name or ""), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


class CodeState:
    """What some code holds, to be put back.

    Other threads run meanwhile, and what they set is theirs: of names, those alone are put back
    that the code sets itself.

    Args:
        code: classes and functions.
    """

    def __init__(self, code: Iterable[Any]) -> None:
        self._undo: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}  # alive, so that no number is used twice
        self._pending: list[Any] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._code: dict[types.CodeType, None] = {}
        self._bytes = 0
        for part in code:
            self._pending.append(part)
            self._look_at_all()

    def written_arrays(self) -> list[Any]:
        """The arrays of NumPy's that are not as they were found."""
        return [array for array, before in self._arrays if not is_as_before(array, before)]

    def put_back(self) -> None:
        """Leave everything as it was found; what refuses that does not keep the rest from it."""
        while self._undo:
            with suppress(Exception):
                self._undo[-1]()
            self._undo.pop()

    def _look_at_all(self) -> None:
        pending = self._pending
        while pending and len(self._seen) < MOST_OBJECTS:
            value = pending.pop()
            if type(value) in _HOLDS_NOTHING or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            try:
                self._look_at(value)
            except Exception:  # it does not want to be looked at
                continue

    def _look_at(self, value: Any) -> None:
        kind = type(value)
        if kind is types.FunctionType:
            self._function(value)
        elif issubclass(kind, type):
            self._class(value)
        elif kind is CACHE:
            self._undo.append(of_cache(value))
            self._pending.append(value.__wrapped__)
        elif kind in (staticmethod, classmethod, types.MethodType):
            self._pending += [value.__func__, getattr(value, "__self__", None)]
        elif kind is property:
            self._pending += [value.fget, value.fset]
        elif kind in (functools.cached_property, functools.partialmethod):
            self._pending.append(value.func)
        elif kind is functools.partial:
            self._pending += [value.func, *value.args, *value.keywords.values()]
        elif kind is tuple:
            self._pending += value
        else:
            noted = contents(value, kind)
            if noted is not None:
                self._undo.append(noted[0])
                self._pending += noted[1]
            self._object(value, kind)

    def _function(self, function: types.FunctionType) -> None:
        if is_stateless(function.__module__):
            return
        names, is_installed = function.__globals__, _is_installed(function.__module__)
        if not is_installed:
            for code in codes(function.__code__):
                self._names(names, code)
        elif id(names) not in self._seen:
            self._seen[id(names)] = names
            self._pending += [value for value in names.values() if type(value) is CACHE]
        if function.__defaults__:
            self._pending += function.__defaults__
        if function.__kwdefaults__:
            self._pending += function.__kwdefaults__.values()
        if function.__dict__ or not is_installed:
            self._attributes(function.__dict__)
        if function.__closure__:
            self._cells(function.__code__, function.__closure__)

    def _cells(self, code: types.CodeType, cells: tuple[types.CellType, ...]) -> None:
        """Note variables of a function around one, where the inner one sets them."""
        bound = {name for part in codes(code) for name in names_of(part).cells}
        for name, cell in zip(code.co_freevars, cells, strict=True):
            content = _content(cell)
            if name in bound:
                self._undo.append(functools.partial(_set_cell, cell, content))
            self._pending.append(content)

    def _names(self, names: dict[str, Any], code: types.CodeType) -> None:
        """Note what names of a module stand for; a module among them lends its own."""
        used = names_of(code)
        self._code[code] = None
        values = {name: names.get(name, _MISSING) for name in used.read}
        bound = used.read if used.computes else used.bound
        if bound:
            before = {name: values[name] for name in bound}
            self._undo.append(functools.partial(_rebind, names, before))
        for value in values.values():
            if issubclass(type(value), types.ModuleType):
                self._module(object.__getattribute__(value, "__dict__"), code)
            else:
                self._pending.append(value)

    def _module(self, names: dict[str, Any], code: types.CodeType) -> None:
        used, shared = names_of(code), not is_stateless(names.get("__name__"))
        bound = used.mentioned if used.computes and shared else used.attributes
        if bound:
            before = {name: names.get(name, _MISSING) for name in bound}
            self._undo.append(functools.partial(_rebind, names, before))
        if shared:
            self._pending += [names[name] for name in code.co_names if name in names]

    def _class(self, kind: type) -> None:
        if is_stateless(_home(kind)):
            return
        before = dict(_names_in(kind))
        self._undo.append(functools.partial(_set_class, kind, before, self._may_set))
        self._pending += before.values()
        self._pending += _bases(kind)[1:]

    def _attributes(self, attributes: dict[str, Any], named: bool = False) -> None:
        may_set = self._may_set if named else _anything
        before = dict(attributes)
        self._undo.append(functools.partial(_rebind_all, attributes, before, may_set))
        self._pending += before.values()

    def _may_set(self, name: str) -> bool:
        """Whether the code that was looked at may set an attribute."""
        uses = [names_of(code) for code in self._code]
        return any(use.computes or name in use.mentioned for use in uses)

    def _object(self, value: Any, kind: type) -> None:
        if self._library(value, kind):
            return
        is_open = any(base in _OPEN for base in _bases(kind))
        home = _home(kind)
        if is_stateless(home) and not is_open and not _is_module(kind):
            return
        attributes = _dictionary_of(value, kind)
        installed = isinstance(home, str) and _is_installed(home)
        if attributes is not None:
            if installed and any(type(part) in _LOCKS for part in attributes.values()):
                return  # it is used by several threads
            self._attributes(attributes, not (installed or is_open or _is_module(kind)))
        for slot in _slots(kind):
            content = _in_slot(slot, value)
            self._undo.append(functools.partial(_set_slot, slot, value, content))
            self._pending.append(content)
        self._pending.append(kind)

    def _library(self, value: Any, kind: type) -> bool:
        """Note an array, a tensor or a generator; whether it is one."""
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if issubclass(kind, random.Random):
            self._undo.append(functools.partial(value.setstate, value.getstate()))
        elif numpy is not None and issubclass(kind, numpy.random.Generator):
            bits = value.bit_generator
            self._undo.append(functools.partial(setattr, bits, "state", bits.state))
        elif numpy is not None and issubclass(kind, numpy.ndarray):
            if value.flags.writeable and self._has_room(value.nbytes):
                self._arrays.append((value, value.copy()))
                self._undo.append(functools.partial(rewrite, *self._arrays[-1]))
        elif torch is not None and issubclass(kind, torch.Generator):
            self._undo.append(functools.partial(value.set_state, value.get_state()))
        elif torch is not None and issubclass(kind, torch.Tensor):
            if is_ordinary(value):
                self._tensor(value, kind)
        else:
            return False
        return True

    def _tensor(self, tensor: Any, kind: type) -> None:
        torch: Any = sys.modules["torch"]
        copied = not issubclass(kind, torch.nn.Parameter) and self._has_room(tensor.nbytes)
        self._undo.append(of_tensor(tensor, copied))

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes more are copied."""
        if size > MOST_BYTES or self._bytes + size > MOST_BYTES_IN_ALL:
            return False
        self._bytes += size
        return True


def _anything(name: str) -> bool:
    return True


def _is_module(kind: type) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and issubclass(kind, torch.nn.Module)


def _dictionary_of(value: Any, kind: Any) -> dict[str, Any] | None:
    """The attributes of an object, without asking it; `None` where its class answers for them."""
    if issubclass(kind, threading.local):
        this_thread: dict[str, Any] = threading.local.__getattribute__(value, "__dict__")
        return this_thread
    own = _dictionary(kind)
    found = None if own is None else own.__get__(value)
    return found if type(found) is dict else None


@functools.lru_cache(maxsize=1024)
def _dictionary(kind: Any) -> Any:
    for base in _bases(kind):
        own = _names_in(base).get("__dict__")
        if own is not None:
            return own if type(own) in _BUILT_IN else None
    return None


@functools.lru_cache(maxsize=1024)
def _slots(kind: Any) -> tuple[types.MemberDescriptorType, ...]:
    members = (
        part
        for base in _bases(kind)
        if "__slots__" in _names_in(base)
        for part in _names_in(base).values()
    )
    return tuple(part for part in members if type(part) is types.MemberDescriptorType)


def _in_slot(slot: types.MemberDescriptorType, value: Any) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:
        return _MISSING


def _set_slot(slot: types.MemberDescriptorType, value: Any, before: Any) -> None:
    if _in_slot(slot, value) is before:
        return
    if before is _MISSING:
        slot.__delete__(value)
    else:
        slot.__set__(value, before)


def _is_special(name: str) -> bool:
    """Whether a name in a class is Python's, which may set it whenever it likes."""
    return name.startswith(("__", "_abc_"))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _set_cell(cell: types.CellType, before: Any) -> None:
    if _content(cell) is before:
        return
    if before is _MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = before


def _rebind(names: dict[str, Any], before: dict[str, Any]) -> None:
    for name, value in before.items():
        if names.get(name, _MISSING) is not value:
            if value is _MISSING:
                del names[name]
            else:
                names[name] = value


def _rebind_all(
    names: dict[str, Any], before: dict[str, Any], may_set: Callable[[str], bool]
) -> None:
    if _is_unchanged(names, before):
        return
    changed = {
        name: before.get(name, _MISSING)
        for name in {**before, **names}
        if names.get(name, _MISSING) is not before.get(name, _MISSING)
    }
    _rebind(names, {name: old for name, old in changed.items() if old is _MISSING or may_set(name)})


def _set_class(kind: type, before: dict[str, Any], may_set: Callable[[str], bool]) -> None:
    now = dict(_names_in(kind))
    if _is_unchanged(now, before):
        return
    for name in now.keys() - before.keys():
        if not _is_special(name):
            type.__delattr__(kind, name)
    for name, value in before.items():
        if now.get(name, _MISSING) is not value and not _is_special(name) and may_set(name):
            type.__setattr__(kind, name, value)


def _is_unchanged(now: dict[str, Any], before: dict[str, Any]) -> bool:
    same = now.keys() == before.keys()
    return same and all(map(operator.is_, now.values(), before.values()))
