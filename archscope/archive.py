"""Records as JSON text and back, with a schema version: measure once, render forever."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.records import Analysis, MemoryPrediction, Profile, SignalPropagation

SCHEMA = 1
"""Rises whenever a field changes its meaning; files of another schema are refused."""

Record: typing.TypeAlias = Analysis | Profile | MemoryPrediction | SignalPropagation
"""What a file holds."""

KINDS: dict[str, type[Any]] = {
    "analysis": Analysis,
    "profile": Profile,
    "memory": MemoryPrediction,
    "signal": SignalPropagation,
}


def dumps(record: Record) -> str:
    """Write a record as JSON; fields at their default are left out."""
    kind = next(name for name, cls in KINDS.items() if isinstance(record, cls))
    return json.dumps({"archscope": kind, "schema": SCHEMA, **_plain(record)}, indent=1) + "\n"


def loads(text: str, argument: str = "file") -> Record:
    """Read what `dumps` wrote.

    Args:
        text: the JSON.
        argument: how the user named its source, for the message.

    Raises:
        ArchscopeError: the text is no JSON, no archscope record, damaged, or of another schema.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchscopeError(argument, f"is not JSON ({error})", "save it again with -o") from None
    if not isinstance(data, dict) or data.get("archscope") not in KINDS:
        raise ArchscopeError(argument, "is no archscope record", "save one with -o run.json")
    if data.get("schema") != SCHEMA:
        raise ArchscopeError(
            argument,
            f"has schema {data.get('schema')!r}, this archscope reads {SCHEMA}",
            "upgrade archscope or save it again",
        )
    kind = KINDS[data.pop("archscope")]
    data.pop("schema")
    try:
        return _restored(kind, data)  # type: ignore[no-any-return]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ArchscopeError(
            argument, f"is a damaged {kind.__name__} ({error})", "save it again with -o"
        ) from None


def load(path: str | Path) -> Record:
    """Read a record from a file; see `loads`.

    Raises:
        ArchscopeError: also when the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ArchscopeError(str(path), f"cannot be read ({reason})", "check the path") from None
    return loads(text, str(path))


def _plain(value: Any) -> Any:
    """A record as JSON's own types."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != _default(field)
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _restored(hint: Any, value: Any) -> Any:
    """Rebuild a value of the hinted type, refusing what does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _restored_record(hint, value)
    if origin in (typing.Union, types.UnionType):
        return _restored_union(arguments, value)
    if origin is tuple:
        return _restored_tuple(arguments, value)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {arguments}")
        return value
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, found {value!r:.40}")
        return {key: _restored(arguments[1], item) for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is type(None) and value is None:
        return None
    if type(value) is not hint:
        raise TypeError(f"expected {getattr(hint, '__name__', hint)}, found {value!r:.40}")
    return value


def _restored_record(cls: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object for {cls.__name__}, found {value!r:.40}")
    hints = _hints(cls)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r} in {cls.__name__}")
    return cls(**{key: _restored(hints[key], item) for key, item in value.items()})


def _restored_union(options: tuple[Any, ...], value: Any) -> Any:
    for option in options:
        with contextlib.suppress(TypeError, ValueError):
            return _restored(option, value)
    raise TypeError(f"{value!r:.40} has no admissible type")


def _restored_tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {value!r:.40}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_restored(arguments[0], item) for item in value)
    if len(arguments) != len(value):
        raise ValueError(f"expected {len(arguments)} items, found {len(value)}")
    return tuple(_restored(hint, item) for hint, item in zip(arguments, value, strict=True))
