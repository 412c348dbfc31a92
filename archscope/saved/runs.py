"""Whether a source is what Python runs when it is imported: other files may take its place."""

from __future__ import annotations

import functools
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import cache_from_source
from pathlib import Path

INSTEAD = (*EXTENSION_SUFFIXES, ".pyc")
"""Suffixes of compiled modules, which are found before or without a source."""


def runs(source: Path) -> bool:
    """Whether no compiled module and no older bytecode would run in its place."""
    compiled = (source.with_name(source.stem + suffix) for suffix in INSTEAD)
    return not any(path.exists() for path in compiled) and not _has_old_bytecode(source)


def _has_old_bytecode(source: Path) -> bool:
    """Whether bytecode of an earlier text passes for that of this one.

    Python compares the second of the last change and the size, so an edit within a second that
    keeps the size goes unnoticed; and bytecode may say that its source is never looked at.
    """
    cached = Path(cache_from_source(str(source)))
    try:
        with cached.open("rb") as file:
            head = file.read(16)
        text, code = source.stat(), cached.stat()
    except OSError:
        return False
    flags, seconds, size = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8, 12))
    if flags:
        return flags == 1
    alike = seconds == int(text.st_mtime) & 0xFFFFFFFF and size == text.st_size & 0xFFFFFFFF
    return alike and code.st_mtime_ns <= text.st_mtime_ns


def is_hidden(module: str) -> bool:
    """Whether a module of Python's own is hidden by one on the way to it."""
    return module in sys.stdlib_module_names and any(
        place.joinpath(module + suffix).exists()
        for place in _before_python()
        for suffix in (".py", "/__init__.py", *INSTEAD)
    )


@functools.cache
def _before_python() -> tuple[Path, ...]:
    """The folders that Python searches before its own."""
    own = Path(sysconfig.get_path("stdlib"))
    places = [Path(entry or ".").absolute() for entry in sys.path]
    zipped = [place.suffix == ".zip" for place in places]
    same = (index for index, place in enumerate(places) if place.resolve() == own.resolve())
    end = next(same, len(places))
    return tuple(p for p, z in zip(places[:end], zipped[:end], strict=True) if not z)
