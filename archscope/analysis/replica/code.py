"""Copies of functions and methods that hold on to objects: closures, bound methods, partials."""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any

from archscope.analysis.replica.graph import Copier, Replica

_CODE = (type, types.ModuleType, types.BuiltinFunctionType, functools.partial)


def copy_function(copies: Replica, value: types.FunctionType) -> Any:
    if not _holds_state(value, set()):
        return copies.add(value, value)
    cells = None if value.__closure__ is None else tuple(map(copies.twin, value.__closure__))
    twin = types.FunctionType(value.__code__, value.__globals__, value.__name__, closure=cells)
    return copies.add(value, twin, _fill_function)


def _fill_function(copies: Replica, twin: types.FunctionType, value: types.FunctionType) -> None:
    twin.__defaults__ = copies.twin(value.__defaults__)
    twin.__kwdefaults__ = copies.twin(value.__kwdefaults__)
    twin.__dict__.update({key: copies.twin(item) for key, item in vars(value).items()})
    twin.__annotations__ = value.__annotations__
    twin.__qualname__ = value.__qualname__
    twin.__doc__ = value.__doc__
    twin.__module__ = value.__module__


def _holds_state(function: types.FunctionType, asked: set[int]) -> bool:
    """Whether a function reaches more than code: what it closes over, its defaults, its attributes.

    A number in a cell is state: `nonlocal` may rebind it.
    """
    if id(function) in asked:
        return False
    asked.add(id(function))
    closure = function.__closure__ or ()
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return (
        any(not _is_code(_content(cell), asked) for cell in closure)
        or any(not _is_fixed(item, asked) for item in defaults)
        or any(not _is_fixed(item, asked) for item in vars(function).values())
    )


def _content(cell: types.CellType) -> Any:
    return cell.cell_contents if _is_set(cell) else type(None)


def _is_set(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading an empty one raises
    except ValueError:
        return False
    return True


def _is_code(value: Any, asked: set[int]) -> bool:
    if isinstance(value, types.FunctionType):
        return not _holds_state(value, asked)
    if isinstance(value, functools.partial):
        return _is_fixed((value.func, *value.args, *value.keywords.values()), asked)
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, (types.ModuleType, type))
    return isinstance(value, (type, types.ModuleType))


_FIXED = (type(None), bool, int, float, complex, str, bytes)


def _is_fixed(value: Any, asked: set[int]) -> bool:
    if type(value) is tuple:
        return all(_is_fixed(item, asked) for item in value)
    return type(value) in _FIXED or _is_code(value, asked)


def copy_cell(copies: Replica, value: types.CellType) -> Any:
    return copies.add(value, types.CellType(), _fill_cell if _is_set(value) else None)


def _fill_cell(copies: Replica, twin: types.CellType, value: types.CellType) -> None:
    twin.cell_contents = copies.twin(value.cell_contents)


def copy_method(copies: Replica, value: types.MethodType) -> Any:
    function, owner = copies.twin(value.__func__), copies.twin(value.__self__)
    if function is value.__func__ and owner is value.__self__:
        return value
    return copies.add(value, types.MethodType(function, owner))


def copy_builtin_method(copies: Replica, value: Any) -> Any:
    """`items.append` and the like, bound to a copy; a function of a module is its own copy."""
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return value
    twin = copies.twin(owner)
    return value if twin is owner else copies.add(value, getattr(twin, value.__name__))


def copy_partial(copies: Replica, value: functools.partial[Any]) -> Any:
    function, args = copies.twin(value.func), copies.twins(value.args)
    keywords = {key: copies.twin(item) for key, item in value.keywords.items()}
    same = all(item is value.keywords[key] for key, item in keywords.items())
    if function is value.func and args is value.args and same and not vars(value):
        return copies.add(value, value)
    twin = functools.partial(function, *args, **keywords)
    twin.__dict__.update({key: copies.twin(item) for key, item in vars(value).items()})
    return copies.add(value, twin)


def copy_lru_cache(copies: Replica, value: Any) -> Any:
    """A function with a cache of its own; what the cache holds is computed again."""
    function = copies.twin(value.__wrapped__)
    if function is value.__wrapped__:
        return copies.add(value, value)
    return copies.add(value, functools.lru_cache(**value.cache_parameters())(function))


def copy_weak_reference(copies: Replica, value: weakref.ref[Any]) -> Any:
    target = value()
    if target is None:
        return value
    twin, back = copies.twin(target), copies.twin(value.__callback__)
    if twin is target and back is value.__callback__:
        return value
    return copies.add(value, weakref.ref(twin, back))


def copy_weak_proxy(copies: Replica, value: Any) -> Any:
    target = value.__repr__.__self__
    twin = copies.twin(target)
    return value if twin is target else copies.add(value, weakref.proxy(twin))


def copy_weak_method(copies: Replica, value: weakref.WeakMethod[Any]) -> Any:
    method = value()
    return value if method is None else copies.add(value, weakref.WeakMethod(copies.twin(method)))


def _copy_weak_mapping(copies: Replica, value: Any) -> Any:
    return copies.add(value, type(value)(), _fill_weak_mapping)


def _fill_weak_mapping(copies: Replica, twin: Any, value: Any) -> None:
    for key, item in list(value.items()):
        twin[copies.ready(key)] = copies.twin(item)


def _copy_weak_set(copies: Replica, value: Any) -> Any:
    return copies.add(value, type(value)(), _fill_weak_set)


def _fill_weak_set(copies: Replica, twin: Any, value: Any) -> None:
    for item in list(value):
        twin.add(copies.ready(item))


COPIERS: dict[type, Copier] = {
    functools.partial: copy_partial,
    type(functools.lru_cache(lambda: None)): copy_lru_cache,
    weakref.ref: copy_weak_reference,
    weakref.WeakMethod: copy_weak_method,
    weakref.ProxyType: copy_weak_proxy,
    weakref.CallableProxyType: copy_weak_proxy,
    weakref.WeakKeyDictionary: _copy_weak_mapping,
    weakref.WeakValueDictionary: _copy_weak_mapping,
    weakref.WeakSet: _copy_weak_set,
}
