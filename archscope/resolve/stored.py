"""A network's `config.json`, read as data: it may come from anywhere, and chooses no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.files import read_text

WEIGHTS = "use_pretrained_backbone"
"""Setting that downloads weights, which decide no count."""

KERNELS = ("attn_implementation", "experts_implementation")
"""Ends of settings that may name a repository of the hub, whose code would be run."""


def configuration(path: Path) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        ArchscopeError: it cannot be read, is not a configuration, or asks for code of the hub.
    """
    try:
        stored = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise ArchscopeError(str(path), "is not JSON", "name a config.json") from None
    if not isinstance(stored, dict):
        raise ArchscopeError(str(path), "is not a configuration", "name a config.json")
    settings: dict[str, Any] = _without_code(str(path), stored)
    return settings


def _without_code(path: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_without_code(path, item) for item in value]
    if not isinstance(value, dict):
        return value
    for key, item in value.items():
        if key.endswith(KERNELS) and _names_a_repository(item):
            problem = (
                f"its {key} is {item!r:.60}, and archscope runs no code that only a file names"
            )
            raise ArchscopeError(path, problem, "take it out")
    return {
        key: False if key == WEIGHTS else _without_code(path, item) for key, item in value.items()
    }


def _names_a_repository(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else (value,)
    return any("/" in str(item) for item in values)
