"""Configurations of transformers: found by name, file or class, and changed by settings."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.files import at_home
from archscope.parameters import SET, parameter
from archscope.resolve.signatures import did_you_mean, nearest
from archscope.resolve.stored import configuration

INSTALL = "install it: python -m pip install transformers"


@functools.cache
def library() -> Any:
    """Import `transformers`.

    Raises:
        ArchscopeError: it is missing or does not fit the installed torch.
    """
    try:
        with quiet():
            return importlib.import_module("transformers")
    except ImportError as error:
        raise ArchscopeError("transformers", f"cannot be imported ({error})", INSTALL) from error


def architectures() -> list[str]:
    """The name of every architecture (`model_type`) that transformers can configure."""
    library()
    auto = importlib.import_module("transformers.models.auto.configuration_auto")
    return sorted(auto.CONFIG_MAPPING_NAMES)


def find(name: str, settings: Mapping[str, Any]) -> Any:
    """The configuration of an architecture, of a file or folder, or of a name in the local cache.

    Args:
        name: without `hf:`.
        settings: attributes that get other values.

    Raises:
        ArchscopeError: nothing of that name is here, or a setting is unknown or invalid.
    """
    known = architectures()
    kind = name.replace("_", "-") if name.replace("_", "-") in known else name
    if kind in known:
        with quiet():
            return of(f"hf:{name}", library().CONFIG_MAPPING[kind], settings)
    path = _file(name)
    if path is None:
        raise ArchscopeError(
            f"hf:{name}",
            "is neither an architecture of transformers nor a folder with a config.json",
            did_you_mean(name, known)
            or "archscope downloads nothing: save the network's config.json and give its folder, "
            "hf:./model/",
        )
    return _from_file(path, settings)


def of(name: str, config: Any, settings: Mapping[str, Any]) -> Any:
    """A configuration made by a class, or a copy of one that exists.

    Raises:
        ArchscopeError: a setting is unknown or invalid.
    """
    if isinstance(config, type):
        with quiet(), _refused(name, settings):
            return _constructed(name, config, {}, settings)
    with quiet(), _refused(name, settings):
        return _constructed(name, type(config), config.to_dict(), settings)


def text_of(config: Any) -> Any:
    """The part of a configuration that is of its text, or all of it where there is no one part."""
    try:
        return config.get_text_config()
    except (AttributeError, ValueError):
        return config


def _file(name: str) -> Path | None:
    """The `config.json` that a path or a name in the hub's local cache leads to."""
    path = at_home(name)
    if path.is_dir():
        path = path / "config.json"
    if path.is_file():
        return path
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    hub = importlib.import_module("huggingface_hub")
    found = hub.try_to_load_from_cache(name, "config.json")
    return Path(found) if isinstance(found, str) else None


def _from_file(path: Path, settings: Mapping[str, Any]) -> Any:
    stored = configuration(path)
    kind = stored.get("model_type")
    if kind not in architectures():
        problem = (
            f"has the model_type {kind!r:.60}, unknown to transformers {library().__version__}"
        )
        if "_class_name" in stored:
            raise ArchscopeError(str(path), "is of diffusers", f"name it diffusers:{path}")
        raise ArchscopeError(str(path), problem, "give the configuration class: package:Config")
    with quiet(), _refused(str(path), settings):
        return _constructed(str(path), library().CONFIG_MAPPING[kind], stored, settings)


def _constructed(
    name: str, kind: Any, stored: Mapping[str, Any], settings: Mapping[str, Any]
) -> Any:
    """A configuration with settings in place before it derives what depends on them."""
    values: dict[str, Any] = dict(stored)
    plain = kind.from_dict(dict(stored)) if stored else kind()
    for key, value in settings.items():
        _place(name, plain, values, key, value)
    if not settings:
        return plain
    for key in ("layers", "num_hidden_layers", "num_layers"):
        _shorten(plain, values, settings.get(key))
    return kind.from_dict(values) if stored else kind(**values)


def _place(name: str, plain: Any, values: dict[str, Any], key: str, value: Any) -> None:
    """Write a setting where the configuration keeps it: on top, by a dotted path, or of its text.

    Raises:
        ArchscopeError: it keeps nothing of that name.
    """
    first, dot, rest = key.partition(".")
    parts = getattr(plain, "sub_configs", {})
    if dot and first in parts and getattr(plain, first, None) is not None:
        inner = dict(values.get(first) or {})
        _place(f"{first} of {name}", getattr(plain, first), inner, rest, value)
        values[first] = inner
        return
    if _has(plain, key):
        values[key] = _like(_value(plain, key), value)
        return
    text = text_of(plain)
    holder = next((part for part in parts if getattr(plain, part, None) is text), None)
    if holder is not None and (_has(text, key) or _is_read(text, key)):
        inner = dict(values.get(holder) or {})
        _place(name, text, inner, key, value)
        values[holder] = inner
        return
    if _is_read(plain, key):
        values[key] = value
        return
    known = [*plain.to_dict(), *getattr(plain, "attribute_map", {})]
    raise ArchscopeError(key, f"{name} has no such setting", nearest(key, known, "it has")[:300])


def _has(config: Any, key: str) -> bool:
    """Whether a configuration keeps a value of this name, or derives others from it."""
    fields = {*inspect.signature(type(config).__init__).parameters} - {"self", "kwargs"}
    known = fields | {*config.to_dict()} | {*getattr(config, "attribute_map", {})}
    return key in known or isinstance(getattr(type(config), key, None), property)


def _value(config: Any, key: str) -> Any:
    """What a configuration holds, also where it refuses to name one value of layers that differ."""
    try:
        return getattr(config, key, None)
    except RuntimeError:
        return config.to_dict().get(key)


def _is_read(config: Any, key: str) -> bool:
    """Whether the network's code reads a value that its configuration does not declare.

    So Qwen3-MoE reads `head_dim`: a `config.json` sets it, and the class has no field for it.
    """
    if not key.isidentifier():
        return False
    read = re.compile(rf"""config\.{key}\b|getattr\((?:self\.)?config,\s*["']{key}["']""")
    try:
        folder = Path(inspect.getfile(type(config))).parent
    except (TypeError, OSError):
        return False
    codes = (path.read_text("utf-8", "replace") for path in folder.glob("modeling_*.py"))
    return any(map(read.search, codes))


def _like(old: Any, value: Any) -> Any:
    """Text read as the kind of value that stood there: a dictionary or a list."""
    if isinstance(value, str) and isinstance(old, dict):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
    if isinstance(value, str) and isinstance(old, list):
        return value.split(",")
    if isinstance(value, tuple):
        return list(value)
    return value


def _shorten(plain: Any, values: dict[str, Any], layers: Any) -> None:
    """Cut the lists of a stored configuration that hold one entry a layer to fewer layers."""
    before = getattr(plain, "num_hidden_layers", None)
    if not isinstance(layers, int) or not isinstance(before, int) or layers >= before:
        return
    for key, value in values.items():
        if isinstance(value, list) and len(value) == before:
            values[key] = value[:layers]


@contextmanager
def _refused(name: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Say in one line what a configuration's own checks raise."""
    try:
        yield
    except ArchscopeError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        given = ", ".join(f"{key}={value}" for key, value in settings.items())
        raise ArchscopeError(
            given or name, f"{name} refuses it: {reason[:300]}", "change the settings"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what these libraries advise of weights, tokens and missing kernels off stderr."""
    names = ("transformers", "diffusers", "bitsandbytes", "torch.utils._pytree")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def lacking(error: BaseException) -> str:
    """What to give where a network reads a setting that its configuration does not have.

    Empty for any other error, and for configurations that are not of transformers.
    """
    config = error.obj if isinstance(error, AttributeError) else None
    if not hasattr(config, "model_type") or not hasattr(config, "to_diff_dict"):
        return ""
    part = getattr(config, "base_config_key", "")  # of a configuration inside of another one
    name = f"{part}.{error.name}" if part else error.name  # type: ignore[attr-defined]
    return f"set it with {parameter(SET, f'{name}=VALUE')}"
