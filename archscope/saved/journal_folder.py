"""The folder of the journals that nobody names, in the user's cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.parameters import marked, parameter
from archscope.saved import cache
from archscope.saved.journal import Journal, Key, UnusableError, reason_of


def default_folder() -> Path | None:
    """Where journals are when the user names none; `None` where nobody can say."""
    folder = cache.folder()
    return None if folder is None else folder / cache.JOURNALS


def in_default_folder(
    name: str,
    identity: Mapping[str, Any],
    *,
    resume: bool,
    key: Key | None = None,
) -> Journal:
    """The journal of that name where the user names none; the other arguments as for a journal.

    Raises:
        UnusableError: there is no such folder, or it cannot be used.
        ArchscopeError: as for a journal.
    """
    folder = default_folder()
    if folder is None:
        raise UnusableError(
            parameter("resume"),
            "there is no cache folder",
            f"name a {parameter('journal', 'FILE')}",
        )
    try:
        cache.make_ours(folder.parent)
        return Journal(folder / name, identity, resume=resume, key=key, trusted=False)
    except ArchscopeError as error:
        problem = f"{folder / name}: {error.problem}"
        remedy = error.remedy if marked(error.remedy) else f"name a {parameter('journal', 'FILE')}"
        raise type(error)(parameter("resume"), problem, remedy) from None
    except OSError as error:
        remedy = f"name a {parameter('journal', 'FILE')}"
        place = f"{error.filename}: " if error.filename else ""
        raise UnusableError(parameter("resume"), f"{place}{reason_of(error)}", remedy) from None


def contents() -> cache.Contents:
    """What the default folder holds."""
    sizes = [path.lstat().st_size for path in _files()]
    return cache.Contents(len(sizes), sum(sizes))


def clear() -> cache.Contents:
    """Remove the journals of the default folder; one whose run goes on loses only its name."""
    before = contents()
    for path in _files():
        with suppress(OSError):
            path.unlink()
    return before


def _files() -> list[Path]:
    folder = default_folder()
    if folder is None or not cache.is_ours(folder.parent):
        return []
    return sorted(folder.glob("*.jsonl"))
