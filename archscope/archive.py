"""Records as JSON text and back, with a schema version: measure once, render forever."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.files import read_text
from archscope.records import (
    Analysis,
    BatchSweep,
    Distribution,
    Generation,
    MemoryPrediction,
    Prediction,
    Profile,
    SignalPropagation,
)
from archscope.records.sound import flaw

Value = typing.TypeVar("Value")

SCHEMA = 1
"""Rises whenever a field changes its meaning; files of another schema are refused."""

Record: typing.TypeAlias = (
    Analysis
    | Profile
    | BatchSweep
    | MemoryPrediction
    | SignalPropagation
    | Generation
    | Prediction
    | Distribution
)
"""What a file holds."""

KINDS: dict[str, type[Any]] = {
    "analysis": Analysis,
    "profile": Profile,
    "batch sweep": BatchSweep,
    "memory": MemoryPrediction,
    "signal": SignalPropagation,
    "generation": Generation,
    "prediction": Prediction,
    "distribution": Distribution,
}


def dumps(record: Record) -> str:
    """Write a record as JSON for files; fields at their default are left out."""
    return json.dumps(_tagged(record), indent=1) + "\n"


def compact(record: Record) -> str:
    """The same on one line, half as long."""
    return json.dumps(_tagged(record), separators=(",", ":"))


def encoded(record: Record) -> dict[str, Any]:
    """A record as JSON's own types, for `decoded`."""
    found: dict[str, Any] = _plain(record)
    return found


def _tagged(record: Record) -> dict[str, Any]:
    kind = next(name for name, cls in KINDS.items() if isinstance(record, cls))
    return {"archscope": kind, "schema": SCHEMA, **_plain(record)}


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
        raise ArchscopeError(argument, f"is not JSON ({error})", "save it again") from None
    kind: Any = data.get("archscope") if isinstance(data, dict) else None
    if kind == "tables":
        raise ArchscopeError(
            argument,
            "holds tables, not the record of a network",
            "save one with archscope summary",
        )
    if kind is None and isinstance(data, dict) and "model_type" in data:
        raise ArchscopeError(
            argument,
            "is a network's configuration, as transformers writes it, not an archscope record",
            f"write hf:{argument}",
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArchscopeError(
            argument, "is not an archscope record", "save one with archscope summary"
        )
    if data.get("schema") != SCHEMA:
        raise ArchscopeError(
            argument,
            f"has schema {data.get('schema')!r}, this archscope reads {SCHEMA}",
            "upgrade archscope or save it again",
        )
    kind = KINDS[data.pop("archscope")]
    data.pop("schema")
    try:
        return _decoder(kind)(data)  # type: ignore[no-any-return]
    except _BAD as error:
        raise ArchscopeError(
            argument, f"is a damaged {kind.__name__} ({error})", "save it again"
        ) from None


def decoded(kind: Callable[..., Value], data: Any) -> Value:
    """A value of one class from JSON's own types.

    Raises:
        ValueError: the data is none of it, or what no record can be.
    """
    try:
        return _decoder(kind)(data)  # type: ignore[no-any-return]
    except _BAD as error:
        raise ValueError(str(error)) from None


class _DamageError(ValueError):
    """What is wrong with a value, and which: `calls[3].params is negative`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} {problem}" if place else problem)
        self.place, self.problem = place, problem

    def inside(self, place: str) -> _DamageError:
        """The same, seen from the value around it."""
        joint = "." if self.place and not self.place.startswith("[") else ""
        return _DamageError(f"{place}{joint}{self.place}", self.problem)

    @classmethod
    def of(cls, error: Exception) -> _DamageError:
        return error if isinstance(error, cls) else cls("", str(error))


_BAD = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""What decoding a damaged value raises."""


def load(path: str | Path) -> Record:
    """Read a record from a file; see `loads`.

    Raises:
        ArchscopeError: also when the file cannot be read.
    """
    return loads(read_text(path), str(path))


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


Decoder: typing.TypeAlias = Callable[[Any], Any]
"""Rebuilds a value of one type from JSON's own types, and refuses what does not fit."""


@cache
def _decoder(hint: Any) -> Decoder:
    """The decoder of a type, composed once: a record holds thousands of values of few types."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _record_decoder(hint)
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(arguments)
    if origin is tuple:
        return _tuple_decoder(arguments)
    if hasattr(hint, "_fields"):
        return _named_tuple_decoder(hint)
    if origin is typing.Literal:
        return _literal_decoder(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_decoder(_decoder(arguments[1]))
    return _plain_decoder(hint)


def _record_decoder(cls: Any) -> Decoder:
    hints = typing.get_type_hints(cls)
    fields = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(cls)}

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(f"expected an object for {cls.__name__}, found {value!r:.40}")
        unknown = value.keys() - fields.keys()
        if unknown:
            raise ValueError(f"unknown field {min(unknown)!r} in {cls.__name__}")
        found, key = {}, ""
        try:
            for key, item in value.items():
                found[key] = fields[key](item)
        except _BAD as error:
            raise _DamageError.of(error).inside(key) from None
        record = cls(**found)
        wrong = flaw(record)
        if wrong is not None:
            raise _DamageError(*wrong)
        return record

    return decode


def _union_decoder(options: tuple[Any, ...]) -> Decoder:
    exact = {option for option in options if option in (int, float, bool, str, type(None))}
    decoders = [_decoder(option) for option in options]
    objects = [d for d, o in zip(decoders, options, strict=True) if dataclasses.is_dataclass(o)]

    def decode(value: Any) -> Any:
        if type(value) in exact:
            return value
        if type(value) is dict and len(objects) == 1:
            return objects[0](value)  # says what is wrong inside
        for decoder in decoders:
            with contextlib.suppress(TypeError, ValueError):
                return decoder(value)
        raise TypeError(f"{value!r:.40} is of a type that no record holds")

    return decode


def _tuple_decoder(arguments: tuple[Any, ...]) -> Decoder:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item_decoder = _decoder(arguments[0])

        def decode(value: Any) -> Any:
            if type(value) is not list:
                raise TypeError(f"expected a list, found {value!r:.40}")
            items: list[Any] = []
            try:
                items.extend(map(item_decoder, value))
            except _BAD as error:
                raise _DamageError.of(error).inside(f"[{len(items)}]") from None
            return tuple(items)

        return decode

    decoders = [_decoder(argument) for argument in arguments]

    def decode_fixed(value: Any) -> Any:
        if type(value) is not list:
            raise TypeError(f"expected a list, found {value!r:.40}")
        if len(decoders) != len(value):
            raise ValueError(f"expected {len(decoders)} items, found {len(value)}")
        return tuple(decoder(item) for decoder, item in zip(decoders, value, strict=True))

    return decode_fixed


def _named_tuple_decoder(cls: Any) -> Decoder:
    hints = typing.get_type_hints(cls)
    decode = _tuple_decoder(tuple(hints[name] for name in cls._fields))
    return lambda value: cls(*decode(value))


def _literal_decoder(options: tuple[Any, ...]) -> Decoder:
    def decode(value: Any) -> Any:
        if value not in options:
            raise ValueError(f"{value!r} is not one of {options}")
        return value

    return decode


def _mapping_decoder(item_decoder: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(f"expected an object, found {value!r:.40}")
        return {key: item_decoder(item) for key, item in value.items()}

    return decode


def _plain_decoder(cls: type[Any]) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is cls:
            return value
        if cls is float and type(value) is int:
            return float(value)
        raise TypeError(f"expected {cls.__name__}, found {value!r:.40}")

    return decode
