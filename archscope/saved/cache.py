"""The user's cache folder, and a store of texts in it that is bounded and safe to share.

Everything saved here can be made again: whatever is missing, damaged or unwritable is as if it had
never been saved, and nothing is reported.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archscope.errors import ArchscopeError
from archscope.files import is_own, open_own, replace_file

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
        the folder, which need not exist, or `None` where nobody can say: an empty `HOME` would
        lead to a folder inside the one at hand, and a user without a name has none.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).absolute()
    try:
        import platformdirs
    except ImportError:
        return None
    try:
        place = Path(platformdirs.user_cache_dir("archscope"))
    except (RuntimeError, KeyError):  # no HOME, and a user whom the system does not know
        return None
    return place if place.is_absolute() and len(place.parts) > LEAST_PARTS else None


LEAST_PARTS = 2
"""A folder in the root is nobody's cache: it is what an empty `HOME` leaves of a path."""

TAG = "CACHEDIR.TAG"
"""File that marks the folder as archscope's; tools that make backups leave such a folder out."""

TAG_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# This folder was made by archscope; `archscope cache clear` empties it.
# See https://bford.info/cachedir/
"""

COUNTS, ROOFS, JOURNALS = "counts", "roofs", "journals"
"""Names of what is in the folder: finished counts, devices' roofs, unfinished runs."""

_OWN_FILES = {
    COUNTS: re.compile(r"[0-9a-f]{64}\.kept|.*\.part"),
    ROOFS: re.compile(r"[0-9a-f]{64}\.kept|.*\.part"),
    JOURNALS: re.compile(r".+-[0-9a-f]{12}\.jsonl|verify-all\.jsonl"),
}


def is_ours(place: Path) -> bool:
    """Whether archscope made this folder for this user, and nobody else can write in it."""
    try:
        _require_private(place)
        return _is_tagged(place) or _holds_only_ours(place)
    except OSError:
        return False


def _require_private(place: Path) -> None:
    """Refuse a folder that another user made, linked to or can write in.

    Raises:
        OSError: saying which.
    """
    status = place.stat()
    if not (is_own(status) and is_own(place.lstat())):
        raise OSError(0, f"{place} belongs to another user")
    if _is_open_to_others(status):
        raise OSError(0, f"other users can write in {place}")


def _is_open_to_others(status: os.stat_result) -> bool:
    return os.name == "posix" and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_tagged(place: Path) -> bool:
    """Whether the mark is archscope's; other programs mark their caches by such a file, too."""
    try:
        with os.fdopen(open_own(place / TAG, os.O_RDONLY), "rb") as file:
            return file.read(len(TAG_TEXT)) == TAG_TEXT.encode()
    except OSError:
        return False


def _holds_only_ours(place: Path) -> bool:
    """Whether a folder without a tag holds what archscope writes, and nothing else."""
    stores = list(place.iterdir())
    return bool(stores) and all(
        store.name in _OWN_FILES
        and not store.is_symlink()
        and all(_OWN_FILES[store.name].fullmatch(path.name) for path in store.iterdir())
        for store in stores
    )


def make_ours(place: Path) -> None:
    """Make the folder and mark it; one that is there is taken where it holds nothing else.

    Raises:
        OSError: it cannot be made, or is not archscope's.
    """
    if _is_tagged(place) and is_ours(place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    _require_private(place)
    if any(place.iterdir()) and not is_ours(place):
        raise OSError(0, f"archscope did not make {place}, which holds other files")
    replace_file(place / TAG, TAG_TEXT.encode())


def store(name: str) -> Store | None:
    """The store of that name, `None` where there is no cache folder."""
    place = folder()
    return None if place is None else Store(place / name, root=place)


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
        root: the user's cache folder around it, which must be archscope's own.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    root: Path | None = None

    def get(self, key: str) -> str | None:
        """The text under a key; a damaged entry is removed."""
        path = self._path(key)
        try:
            content = self._read(path)
        except OSError:
            return None
        checksum, text = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
        if hashlib.sha256(text).digest() != checksum:
            self.discard(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # entries leave in the order in which they were last used
        try:
            return text.decode()
        except UnicodeDecodeError:
            return None

    def put(self, key: str, text: str) -> None:
        """Keep a text; a reader sees the whole entry or none."""
        encoded = text.encode()
        if CHECKSUM_BYTES + len(encoded) > self.most_bytes:
            return
        with contextlib.suppress(OSError, ArchscopeError):
            if self.root is not None:
                make_ours(self.root)
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

    def _read(self, path: Path) -> bytes:
        """An entry, up to the size that one can have."""
        if self.root is not None and not is_ours(self.root):
            raise OSError(0, "the folder is not archscope's")
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            return file.read(self.most_bytes + 1)

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + SUFFIX)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every entry, and what an interrupted writer left; another process may remove any."""
        if self.root is not None and not is_ours(self.root):
            return
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    if path.suffix in (SUFFIX, ".part"):
                        yield path, path.lstat()

    def _shrink(self) -> None:
        found = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        excess = sum(status.st_size for _, status in found) - self.most_bytes
        for path, status in found:
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= status.st_size
