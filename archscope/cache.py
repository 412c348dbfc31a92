"""The user's cache folder, and a store of texts in it that is bounded and safe to share.

Everything kept here can be made again: whatever is missing, damaged or unwritable is as if it had
never been kept, and nobody is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archscope.errors import ArchscopeError
from archscope.files import replace_file

FOLDER_VARIABLE = "ARCHSCOPE_CACHE_DIR"
"""Environment variable that moves the folder."""

MOST_BYTES = 64 * 2**20
"""All entries of a store together; the longest unused go first."""

CHECKSUM_BYTES = 32
SUFFIX = ".kept"


def folder() -> Path | None:
    """Where archscope may keep things for this user.

    `ARCHSCOPE_CACHE_DIR` decides; then the system's place for such files.

    Returns:
        the folder, which need not exist, or `None` where nobody can say.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    try:
        import platformdirs
    except ImportError:
        return None
    return Path(platformdirs.user_cache_dir("archscope"))


ROOFS = "roofs"
"""Name of the store of devices' roofs."""


def store(name: str) -> Store | None:
    """The store of that name, `None` where there is no cache folder."""
    place = folder()
    return None if place is None else Store(place / name)


@dataclass(frozen=True)
class Contents:
    """What a store holds."""

    entries: int
    total_bytes: int


@dataclass(frozen=True)
class Store:
    """Texts by key, one file each; several processes may read, write and clear it at once.

    Args:
        folder: holds nothing else; made when first needed.
        most_bytes: entries together stay within this.
    """

    folder: Path
    most_bytes: int = MOST_BYTES

    def get(self, key: str) -> str | None:
        """The text under a key; a damaged entry is removed."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, text = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
        if hashlib.sha256(text).digest() != checksum:
            self.discard(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # entries leave in the order in which they were last used
        return text.decode()

    def put(self, key: str, text: str) -> None:
        """Keep a text; a reader sees the whole entry or none."""
        encoded = text.encode()
        if CHECKSUM_BYTES + len(encoded) > self.most_bytes:
            return
        with contextlib.suppress(OSError, ArchscopeError):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(key), hashlib.sha256(encoded).digest() + encoded)
        self._shrink()

    def discard(self, key: str) -> None:
        """Forget one entry."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def clear(self) -> Contents:
        """Forget everything; tells what there was."""
        before = self.contents()
        for path, _ in self._files():
            with contextlib.suppress(OSError):
                path.unlink()
        return before

    def contents(self) -> Contents:
        sizes = [status.st_size for _, status in self._files()]
        return Contents(len(sizes), sum(sizes))

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + SUFFIX)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every entry, and what an interrupted writer left; another process may remove any."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    if path.suffix in (SUFFIX, ".part"):
                        yield path, path.stat()

    def _shrink(self) -> None:
        found = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        excess = sum(status.st_size for _, status in found) - self.most_bytes
        for path, status in found:
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= status.st_size
