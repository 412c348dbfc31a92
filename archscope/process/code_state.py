"""What code holds outside of objects: global names, attributes of classes, cells and caches.

A network's `forward` may fill a table of its module, count calls in its class or remember a result
with `functools.lru_cache`. After a run these would hold tensors of the run, without values, for
whoever calls the network next. So they are noted before a run, and put back after it.

Only what the code names is looked at: its own functions and classes, and those that these call;
of an installed package the classes of the network and its caches alone.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import random
import sys
import threading
import types
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterable
from typing import Any

STATELESS = frozenset(sys.stdlib_module_names) | {
    "archscope", "einops", "numpy", "timm", "torch", "torchvision",
}  # fmt: skip
"""Packages whose code keeps nothing of its arguments outside of objects."""

MOST_OBJECTS = 20_000
"""Looked at before a run; what is reached later stays as the run leaves it."""

MOST_BYTES = 2**22
"""Of an array or a tensor that is copied, should it be written to."""

_MISSING: Any = object()
_CACHE: type = type(functools.lru_cache(lambda: None))
_NUMBERS = (type(None), bool, int, float, complex, str, bytes, range, slice)
_PLAIN = (*_NUMBERS, type, types.FunctionType)
_OPEN = (types.SimpleNamespace, UserDict, UserList, threading.local)
"""Kinds of the standard library with attributes of whoever made one."""

_CONTAINERS: tuple[tuple[type, Any, Any, Any], ...] = (
    (OrderedDict, OrderedDict.items, OrderedDict.clear, OrderedDict.update),
    (dict, dict.items, dict.clear, dict.update),
    (list, list.__iter__, list.clear, list.extend),
    (set, set.__iter__, set.clear, set.update),
    (deque, deque.__iter__, deque.clear, deque.extend),
)
"""How the items of each are listed, removed and added, below a class's own methods."""


def is_stateless(name: object) -> bool:
    """Whether code of a module, by its name, keeps nothing outside of objects."""
    return isinstance(name, str) and name.partition(".")[0] in STATELESS


@functools.lru_cache(maxsize=1024)
def _is_installed(name: str | None) -> bool:
    """Whether a module is of a package that was installed, which has no tables in its modules."""
    file = getattr(sys.modules.get(name or ""), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


class CodeState:
    """What some code holds, to be put back.

    Args:
        code: classes and functions.
    """

    def __init__(self, code: Iterable[Any]) -> None:
        self._undo: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}  # alive, so that no number is used twice
        self._pending: list[Any] = []
        self._arrays: list[tuple[Any, Any]] = []
        for part in code:
            self._pending.append(part)
            while self._pending and len(self._seen) < MOST_OBJECTS:
                self._look_at(self._pending.pop())

    def written_arrays(self) -> list[Any]:
        """The arrays of NumPy's that are not as they were found."""
        return [array for array, before in self._arrays if not _is_as_before(array, before)]

    def put_back(self) -> None:
        """Leave everything as it was found, but what the run has made impossible to change."""
        while self._undo:
            with contextlib.suppress(Exception):  # all else is to be put back none the less
                self._undo[-1]()
            self._undo.pop()

    def _look_at(self, value: Any) -> None:
        kind = type(value)
        if kind in _NUMBERS or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if kind is types.FunctionType:
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif kind is _CACHE:
            self._undo.append(functools.partial(_clear, value, value.cache_info().misses))
            self._pending.append(value.__wrapped__)
        elif kind in (staticmethod, classmethod, types.MethodType):
            self._pending += [value.__func__, getattr(value, "__self__", None)]
        elif kind is property:
            self._pending += [value.fget, value.fset]
        elif kind is functools.partial:
            self._pending += [value.func, *value.args, *value.keywords.values()]
        elif (methods := _methods(value)) is not None:
            before = list(methods[1](value))
            self._undo.append(functools.partial(_refill, value, methods, before))
            self._pending += (
                [part[1] for part in before] if issubclass(methods[0], dict) else before
            )
        elif kind is tuple:
            self._pending += value
        else:
            self._object(value)

    def _function(self, function: types.FunctionType) -> None:
        if is_stateless(function.__module__):
            return
        names = function.__globals__
        if not _is_installed(function.__module__):
            for code in _codes(function.__code__):
                self._names(names, code)
        elif id(names) not in self._seen:
            self._seen[id(names)] = names
            self._pending += [value for value in names.values() if type(value) is _CACHE]
        self._pending += function.__defaults__ or ()
        self._pending += (function.__kwdefaults__ or {}).values()
        self._attributes(function.__dict__)
        for cell in function.__closure__ or ():
            content = _content(cell)
            self._undo.append(functools.partial(_set_cell, cell, content))
            self._pending.append(content)

    def _names(self, names: dict[str, Any], code: types.CodeType) -> None:
        """Note what names of a module stand for; a module among them lends its own."""
        values = {name: names.get(name, _MISSING) for name in _globals(code)}
        self._undo.append(functools.partial(_rebind, names, values))
        for value in values.values():
            if not isinstance(value, types.ModuleType):
                self._pending.append(value)
                continue
            used = _set_attributes(code) if is_stateless(value.__name__) else code.co_names
            if used:
                lent = {name: vars(value).get(name, _MISSING) for name in used}
                self._undo.append(functools.partial(_rebind, vars(value), lent))
                self._pending += [] if is_stateless(value.__name__) else lent.values()

    def _class(self, kind: type) -> None:
        if is_stateless(kind.__module__):
            return
        before = {key: value for key, value in vars(kind).items() if not _is_special(key)}
        self._undo.append(functools.partial(_set_class, kind, before))
        self._pending += vars(kind).values()
        self._pending += kind.__bases__

    def _attributes(self, attributes: dict[str, Any]) -> None:
        self._undo.append(functools.partial(_rebind_all, attributes, dict(attributes)))
        self._pending += attributes.values()

    def _object(self, value: Any) -> None:
        kind: type = type(value)
        note = _note_of_library(value)
        if _is_small_array(value):
            self._arrays.append((value, value.copy()))
            self._undo.append(functools.partial(_rewrite, *self._arrays[-1]))
        elif note is not None:
            self._undo.append(note)
        elif not is_stateless(kind.__module__) or isinstance(value, _OPEN) or _is_module(value):
            if isinstance(getattr(value, "__dict__", None), dict):
                self._attributes(value.__dict__)
            for slot in _slots(kind):
                content = _in_slot(slot, value)
                self._undo.append(functools.partial(_set_slot, slot, value, content))
                self._pending.append(content)
            self._pending.append(kind)


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


@functools.lru_cache(maxsize=1024)
def _slots(kind: Any) -> tuple[types.MemberDescriptorType, ...]:
    members = (
        part for base in kind.__mro__ if "__slots__" in vars(base) for part in vars(base).values()
    )
    return tuple(part for part in members if isinstance(part, types.MemberDescriptorType))


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


def _methods(value: Any) -> tuple[type, Any, Any, Any] | None:
    """How a container is listed, emptied and filled; `None` for what is none."""
    return next((known for known in _CONTAINERS if isinstance(value, known[0])), None)


def _is_small_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return False
    return value.nbytes <= MOST_BYTES and bool(value.flags.writeable)


def _note_of_library(value: Any) -> Callable[[], None] | None:
    """How a tensor or a generator is put back; `None` for what is neither."""
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.random.Generator):
        bits = value.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    if torch is not None and isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    if torch is not None and isinstance(value, torch.Tensor):
        return _note_of_tensor(value)
    return None


def _note_of_tensor(tensor: Any) -> Callable[[], None]:
    torch: Any = sys.modules["torch"]
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_inference():
        return _nothing
    copied = tensor.nbytes <= MOST_BYTES and not isinstance(tensor, torch.nn.Parameter)
    own = tensor.detach()
    before = own.clone() if copied else None
    gradient = tensor.grad if tensor.is_leaf else None
    return functools.partial(
        _rewrite_tensor, tensor, own, before, gradient, bool(tensor.requires_grad)
    )


def _nothing() -> None:
    pass


def _is_special(name: str) -> bool:
    """Whether a name in a class is Python's, which may set it whenever it likes."""
    return name.startswith(("__", "_abc_"))


@functools.lru_cache(maxsize=4096)
def _codes(code: types.CodeType) -> tuple[types.CodeType, ...]:
    """Code with that of the functions inside of it."""
    inside = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return (code, *(found for part in inside for found in _codes(part)))


@functools.lru_cache(maxsize=4096)
def _globals(code: types.CodeType) -> tuple[str, ...]:
    """The names that code looks up in its module, or sets there."""
    used = (step.argval for step in dis.get_instructions(code) if step.opname.endswith("_GLOBAL"))
    return tuple(dict.fromkeys(name for name in used if not hasattr(builtins, name)))


@functools.lru_cache(maxsize=4096)
def _set_attributes(code: types.CodeType) -> tuple[str, ...]:
    """The names of attributes that code sets, of whatever object."""
    setting = ("STORE_ATTR", "DELETE_ATTR")
    used = (step.argval for step in dis.get_instructions(code) if step.opname in setting)
    return tuple(dict.fromkeys(used))


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


def _rebind_all(names: dict[str, Any], before: dict[str, Any]) -> None:
    _rebind(names, {name: before.get(name, _MISSING) for name in {**before, **names}})


def _set_class(kind: type, before: dict[str, Any]) -> None:
    now = {key: value for key, value in vars(kind).items() if not _is_special(key)}
    for name in now.keys() - before.keys():
        type.__delattr__(kind, name)
    for name, value in before.items():
        if now.get(name, _MISSING) is not value:
            type.__setattr__(kind, name, value)


def _clear(cache: Any, misses: int) -> None:
    """Empty a cache that a run has filled; what it held before is computed again."""
    if cache.cache_info().misses != misses:
        cache.cache_clear()


def _refill(value: Any, methods: tuple[type, Any, Any, Any], before: list[Any]) -> None:
    """Undo what a run did to a container; numbers and texts added to a list are a log, and stay."""
    _, items, clear, fill = methods
    now = list(items(value))
    same = len(now) >= len(before) and all(map(_is_same, now, before))
    added = now[len(before) :]
    if not same or (added and not (isinstance(value, list) and all(map(_is_plain, added)))):
        clear(value)
        fill(value, before)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two items are one object, or pairs of the same objects."""
    if type(one) is tuple is type(other) and len(one) == len(other) == 2:
        return one[0] is other[0] and one[1] is other[1]
    return one is other


def _is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts and names of types alone."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    kind = type(value)
    return kind in _PLAIN or (kind.__module__ == "torch" and kind.__name__ in ("dtype", "device"))


def _is_as_before(array: Any, before: Any) -> bool:
    return bool(array.tobytes() == before.tobytes())


def _rewrite(array: Any, before: Any) -> None:
    if not array.flags.writeable:
        array.setflags(write=True)
    if array.shape != before.shape:
        array.resize(before.shape, refcheck=False)
    if not _is_as_before(array, before):
        array[...] = before


def _rewrite_tensor(tensor: Any, own: Any, before: Any, gradient: Any, trained: bool) -> None:
    """Compared by value: the kernels of normalisation write without a new version."""
    if _place(tensor) != _place(own):
        tensor.data = own
    if tensor.grad is not gradient:
        tensor.grad = gradient
    if tensor.is_leaf and tensor.requires_grad is not trained:
        tensor.requires_grad_(trained)
    if before is not None and not before.equal(tensor):
        tensor.data.copy_(before)


def _place(tensor: Any) -> tuple[Any, ...]:
    """The memory of a tensor, and how it is laid out there."""
    return tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride()
