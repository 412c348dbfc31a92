"""The user's files: read whole and written whole, or refused in one line."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path

from archscope import interruption
from archscope.errors import ArchscopeError

MOST_BYTES = 2**28
"""Above every record and budget, and far below memory: a link may lead to `/dev/zero`."""


WRITER_SECONDS = 5.0
"""How long a pipe may be silent at first."""


_read: ContextVar[set[Path] | None] = ContextVar("the files that were read", default=None)


@contextmanager
def noting_reads(before: set[Path] | None = None) -> Iterator[set[Path]]:
    """Note each file that is read inside, and let nothing inside replace one.

    Args:
        before: what else is not replaced.

    Yields:
        the paths, to which those that are read later are added.
    """
    read = set(before or ())
    token = _read.set(read)
    try:
        yield read
    finally:
        _read.reset(token)


def note_read(path: str | Path) -> None:
    """Say that what is asked is answered from a file, which nothing then replaces."""
    noted = _read.get()
    if noted is not None:
        noted.add(Path(path).absolute())


def require_not_read(path: str | Path, argument: str = "") -> None:
    """Refuse to write where the answer comes from, under whatever name, link or case.

    Args:
        path: of the file to write.
        argument: what a message calls it; its path when empty.

    Raises:
        ArchscopeError: it is a file that was read.
    """
    if any(_same(path, name) for name in _read.get() or ()):
        problem = "is a file that the command reads, and would replace"
        raise ArchscopeError(argument or str(path), problem, "choose another")


def _same(path: str | Path, other: Path) -> bool:
    """Whether two names are of one file, which may not be there yet."""
    try:
        return other.samefile(path)
    except (OSError, ValueError):  # the name of a network is no file
        return Path(path).absolute() == other


def at_home(path: str) -> Path:
    """A path that may begin with `~`, as it is where nobody knows whose home that is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_text(path: str | Path) -> str:
    """The text of a file.

    Raises:
        ArchscopeError: it cannot be read, is no text, or is far too large.
    """
    try:
        with opened(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ArchscopeError(
                str(path), f"is larger than {MOST_BYTES >> 20} MiB", "check the path"
            )
        return content.decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ArchscopeError(str(path), f"cannot be read ({reason})", "check the path") from None


def opened(path: str | Path) -> BufferedReader:
    """Open a file to read it; a pipe too, unless nobody writes into it.

    Raises:
        OSError: it cannot be opened, or would be waited for without end.
    """
    waiting = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, os.O_RDONLY | waiting | getattr(os, "O_BINARY", 0))
    note_read(path)
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _require_writer(descriptor)
        if hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_pipe(path: str | Path) -> bool:
    """Whether what is read from a path is gone then; not where nothing is there."""
    return Path(path).is_fifo()


def _require_writer(pipe: int) -> None:
    """Wait a moment for somebody to write.

    Raises:
        OSError: nobody does.
    """
    if not select.select([pipe], [], [], WRITER_SECONDS)[0]:
        raise OSError(0, "is a pipe that nobody writes into")


def replace_file(path: str | Path, content: bytes, argument: str = "") -> None:
    """Write beside a file, then rename, so that it is there whole or not at all.

    Args:
        path: of the file; a link stays one, and a file that is there keeps its mode.
        content: all of it.
        argument: what a message calls the file; its path when empty.

    Raises:
        ArchscopeError: the file cannot be written, is a device, a pipe or a folder, or is one
            that was read for what is written.
    """
    require_not_read(path, argument)
    try:
        target = Path(path).resolve()
        beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        if target.exists() and not target.is_file():
            raise OSError(0, "it is not an ordinary file")
        with interruption.held_back():  # what stops the process leaves nothing beside the file
            _put(target, beside, content)
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, null characters
        reason = getattr(error, "strerror", None) or str(error)
        raise ArchscopeError(
            argument or str(path), f"cannot be written ({reason})", "check it"
        ) from None


def _put(target: Path, beside: Path, content: bytes) -> None:
    try:
        beside.touch(exist_ok=False)  # nobody's link under that name is followed
        beside.write_bytes(content)
        _synchronise(beside)
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    """Wait until a file is on the disk, so that a power cut leaves the old one or the new one."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def open_own(path: Path, flags: int) -> int:
    """Open a file that only this user's archscope may have written: no link, pipe or device.

    Args:
        path: of the file.
        flags: as for `os.open`.

    Returns:
        its descriptor.

    Raises:
        OSError: it cannot be opened, is no ordinary file, or belongs to another user.
    """
    # A pipe is opened without waiting for its other end, only to be refused.
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | careful | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        require_own(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def require_own(status: os.stat_result) -> None:
    """Refuse what is no ordinary file of this user.

    Raises:
        OSError: saying what it is.
    """
    require_regular(status)
    if not is_own(status):
        raise OSError(0, "it belongs to another user")


def require_regular(status: os.stat_result) -> None:
    """Refuse a pipe, a device or a folder.

    Raises:
        OSError: saying so.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "it is not an ordinary file")


def is_own(status: os.stat_result) -> bool:
    """Whether something belongs to this user, where the system can say."""
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def check_folder(folder: Path) -> None:
    """Refuse a folder of reports that is not there.

    Raises:
        ArchscopeError: it is no folder.
    """
    if not folder.is_dir():
        raise ArchscopeError(str(folder), "is not a folder", "run it in the repository's root")
