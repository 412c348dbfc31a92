"""The lines of a journal: the run that the first names, and the entries of the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.files import read_text

SCHEMA = 2

KEY = "key"
"""Field of an entry: what decided it besides the run, as a hash; `None` where nobody can say."""

UNFINISHED = "unfinished"
"""Field of an entry whose part ended without its result, for want of memory or by a crash."""

MOST_BYTES = 2**28
"""Above every journal: what is larger is none."""

QUESTION, VERSIONS, ADDRESS = "question", "versions", "address"
"""Fields of an entry: what it is of, the versions that decided it, and the hash of both."""

BEGINNING = b'{"archscope": "journal", '


@dataclass(frozen=True)
class Written:
    """What a journal holds, read without touching it.

    Args:
        identity: what was run.
        entries: all that can be read, unfinished ones too.
    """

    identity: Mapping[str, Any]
    entries: tuple[dict[str, Any], ...]


def read(path: str | Path) -> Written:
    """Read a journal that this process does not write, whoever wrote it.

    Raises:
        ArchscopeError: it cannot be read, or is no journal.
    """
    lines = read_text(path).split("\n")[:-1]  # what a kill cut short has no end of line
    header = read_line(lines[0].encode()) if lines else None
    if (
        header is None
        or header.pop("archscope", "") != "journal"
        or header.pop("schema", 0) != SCHEMA
    ):
        raise ArchscopeError(str(path), "is not a journal of this version of archscope", "name one")
    entries = [read_line(line.encode()) for line in lines[1:]]
    return Written(header, tuple(entry for entry in entries if entry is not None))


def address(question: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """What an entry is of and what decided it, with the hash of both, to put beside its result.

    Args:
        question: the network, its keywords and input, and the settings.
        versions: of all that decides the result, the model of the device included if it does.
    """
    content = json.dumps([question, versions], sort_keys=True, default=str).encode()
    return {
        QUESTION: question,
        VERSIONS: versions,
        ADDRESS: hashlib.sha256(content).hexdigest(),
    }


def read_line(line: bytes) -> dict[str, Any] | None:
    """One line read back, `None` for a damaged one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def subject_of(entry: Mapping[str, Any]) -> str:
    """What an entry is of, as text."""
    return json.dumps(entry.get(QUESTION) or {**entry, KEY: None}, sort_keys=True)


def begins_as_journal(content: bytes, lines: list[bytes]) -> bool:
    """Whether archscope began a file; an empty one is as good as none.

    A full disk may have cut its first line short.
    """
    if not (content.startswith(BEGINNING) or BEGINNING.startswith(content)):
        return False
    header = read_line(lines[0]) if lines else {"schema": SCHEMA}
    return header is not None and type(header.get("schema")) is int


def is_journal(path: Path) -> bool:
    """Whether a file holds the finished parts of a run."""
    try:
        with path.open("rb") as file:
            return file.read(len(BEGINNING)) == BEGINNING
    except OSError:
        return False


def line_of(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package, for the key of a journal."""
    found = dict.fromkeys(packages, "missing")
    for package in found:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
