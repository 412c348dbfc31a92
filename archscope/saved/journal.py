"""The finished parts of a long run as JSON lines, safe against a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from archscope import cache
from archscope.errors import ArchscopeError
from archscope.parameters import marked, parameter

SCHEMA = 1


class Journal:
    """An append-only file of entries, each on disk before the next part of the run begins.

    The first line says which run it belongs to.
    A line that a kill cut short is dropped when the file is opened again, so an entry is there
    whole or not at all.

    Args:
        path: the file; made where it is missing.
        identity: what decides the entries: what is run, and the versions that run it.
        resume: keep the entries of an earlier run; without it the file starts anew.

    Raises:
        ArchscopeError: the file cannot be written, another process is writing it, or it belongs to
            another run.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self._header = _line({"archscope": "journal", "schema": SCHEMA, **identity})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("r+b" if path.exists() else "x+b")
        except OSError as error:
            raise self._refused(f"cannot be opened ({error.strerror})", "name another") from None
        try:
            self._lock()
            self.entries: list[dict[str, Any]] = self._kept() if resume else []
            if not self.entries:
                self._file.seek(0)
                self._append(self._header)
            self._file.truncate()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, entry: dict[str, Any]) -> None:
        """Append one entry and wait until it is on the disk."""
        self._append(_line(entry))
        self.entries.append(entry)

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _kept(self) -> list[dict[str, Any]]:
        """The whole lines behind the header; leaves the file position at their end."""
        content = self._file.read()
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        if lines and lines[0] != self._header:
            raise self._refused(
                "was written for another run or by other versions",
                f"run without {parameter('resume')}",
            )
        try:
            entries = [json.loads(line) for line in lines[1:]]
        except ValueError:
            raise self._refused("is damaged", f"run without {parameter('resume')}") from None
        self._file.seek(sum(map(len, lines)))
        return entries

    def _lock(self) -> None:
        """Hold the file against a second writer, where the system can; a kill lets go of it."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refused("another process is writing it", "wait or name another") from None

    def _refused(self, problem: str, remedy: str) -> ArchscopeError:
        return ArchscopeError(parameter("journal", self.path), problem, remedy)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def default_folder() -> Path | None:
    """Where journals lie when the user names none; `None` where nobody can say."""
    folder = cache.folder()
    return None if folder is None else folder / "journals"


def in_default_folder(name: str, identity: Mapping[str, Any], *, resume: bool) -> Journal:
    """The journal of that name where the user names none; the other arguments as for a journal.

    Raises:
        ArchscopeError: as for a journal; or there is no default folder.
    """
    folder = default_folder()
    if folder is None:
        raise ArchscopeError(
            parameter("resume"),
            "there is no cache folder",
            f"name a {parameter('journal', 'FILE')}",
        )
    try:
        return Journal(folder / name, identity, resume=resume)
    except ArchscopeError as error:
        problem = f"{folder / name}: {error.problem}"
        remedy = error.remedy if marked(error.remedy) else f"name a {parameter('journal', 'FILE')}"
        raise ArchscopeError(parameter("resume"), problem, remedy) from None


def contents() -> cache.Contents:
    """What the default folder holds."""
    sizes = [path.stat().st_size for path in _files()]
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
    return [] if folder is None else sorted(folder.glob("*.jsonl"))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package, for the identity of a journal."""
    found = dict.fromkeys(packages, "missing")
    for package in found:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
