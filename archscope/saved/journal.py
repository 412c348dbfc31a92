"""The finished parts of a long run as JSON lines, safe against a kill at any moment."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from archscope import interruption
from archscope.errors import ArchscopeError
from archscope.files import is_own, open_own, require_regular
from archscope.parameters import parameter
from archscope.saved.journal_lines import (
    KEY,
    MOST_BYTES,
    SCHEMA,
    UNFINISHED,
    begins_as_journal,
    line_of,
    read_line,
    subject_of,
)
from archscope.units import plural

UNKNOWN = "not everything that decides them is known"
"""Why entries are counted again, where nobody can say more."""

SYNC_SECONDS = 0.5
"""Between two waits for the disk: a wait takes as long as a small network's count."""


class Key(Protocol):
    """What decides the entries of a journal besides its identity."""

    def __call__(self) -> str | None:
        """What it is at this moment; `None` where nobody can say."""

    def obstacle(self) -> str:
        """Why nobody can say, as the end of a sentence."""


class UnusableError(ArchscopeError):
    """A journal that cannot be written, which costs its run nothing but the way to resume it."""


class Journal:
    """An append-only file of entries, each handed to the system before the next is taken.

    So a process that is killed loses none. The disk is waited for once in `SYNC_SECONDS`, and at
    the end: a machine that loses its power may lose the entries since then.

    The first line says which run it belongs to, and each entry what decided it: sources and
    versions that are no longer those at hand leave an entry where it is, and unused.
    A line that a kill cut short is dropped when the file is opened again, so an entry is there
    whole or not at all.
    A file that archscope did not begin is never written.

    Args:
        path: the file; made where it is missing.
        identity: what is run.
        resume: take the entries of an earlier run; without it the file starts empty, and one that
            the user named must hold no finished part.
        key: says what decides the entries at this moment; without it only `identity` does.
        trusted: whether a link may lead to the file, and another user own it: the user named it.

    Raises:
        UnusableError: the file cannot be opened or written.
        ArchscopeError: it is no journal, another process is writing it, it belongs to another
            run, or finished parts would be lost.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        resume: bool,
        key: Key | None = None,
        trusted: bool = True,
    ) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.outdated = self.uncertain = self.damaged = 0
        self.failure, self.changed, self.doubted = "", False, False
        self._synced = -SYNC_SECONDS
        self._header = line_of({"archscope": "journal", "schema": SCHEMA, **identity})
        self._key = key
        self.decided_by = None if key is None else key()
        try:
            self._file = _opened(path, trusted)
        except (OSError, ValueError) as error:  # a name with a null character is a ValueError
            raise self._unusable("cannot be opened", error) from None
        try:
            self._lock()
            self._begin(resume, expected=trusted)
        except OSError as error:
            self._file.close()
            raise self._unusable("cannot be written", error) from None
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
        with suppress(OSError):  # each entry was written already, or its failure is known
            os.fsync(self._file.fileno())
        with suppress(OSError):
            self._file.close()

    def add(self, entry: dict[str, Any], *, certain: bool = True) -> None:
        """Append one entry.

        A disk that takes no more ends the journal, not the run; `failure` says why.

        Args:
            entry: a finished part.
            certain: whether nothing decided it that another run would find otherwise.
        """
        line = self._lined(entry, certain)
        with interruption.held_back():  # what is in the file is said to be saved
            if self._written(line):
                self.entries.append(entry)

    def note(self, entry: dict[str, Any], *, certain: bool = True) -> None:
        """Append what became of a part that a later run shall do again; as `add`."""
        line = self._lined({**entry, UNFINISHED: True}, certain)
        with interruption.held_back():
            self._written(line)

    def _lined(self, entry: dict[str, Any], certain: bool) -> bytes:
        """An entry with what decided it."""
        return line_of({**entry, **self._decided(certain)})

    def _written(self, line: bytes) -> bool:
        """Append a line; whether the run may count its entry as done."""
        if self.failure:
            return True
        try:
            self._append(line)
        except OSError as error:
            self.failure = reason_of(error)
            return False
        return True

    def keep(self, read: Callable[[dict[str, Any]], object]) -> None:
        """Take only the entries that can be read back; the others count as damaged lines.

        Args:
            read: raises a ValueError for a damaged entry.
        """
        whole = [entry for entry in self.entries if _reads(read, entry)]
        self.damaged += len(self.entries) - len(whole)
        self.entries = whole

    @property
    def left(self) -> list[str]:
        """What is not taken of an earlier run, and why, as sentences without a full stop."""
        again = "they are counted again"
        reasons = {
            f"entries were counted by other sources, versions or settings; {again}": self.outdated,
            f"entries cannot be trusted{self._since()}; {again}": self.uncertain,
            f"lines are damaged; {again}": self.damaged,
        }
        return [f"{count} of the journal's {why}" for why, count in reasons.items() if count]

    def _since(self) -> str:
        return f", since {self.obstacle()}" if self.uncertain else ""

    def obstacle(self) -> str:
        """Why entries are counted again by a later run."""
        return UNKNOWN if self._key is None else self._key.obstacle()

    @property
    def resumable(self) -> bool:
        """Whether a later run can take what this one leaves."""
        known = self._key is None or self.decided_by is not None
        return not self.failure and known and not self.doubted

    def _decided(self, certain: bool) -> dict[str, str | None]:
        """What decided an entry; `None` where that is unknown, or not what it was at first."""
        if self._key is None:
            return {}
        now = self._key() if certain else None
        self.changed = self.changed or (now is not None and now != self.decided_by)
        self.doubted = self.doubted or now is None
        return {KEY: None if self.changed else now}

    def _begin(self, resume: bool, expected: bool) -> None:
        """Take what the file holds, or start it empty; its position is at the end of what stays."""
        if os.fstat(self._file.fileno()).st_size > MOST_BYTES:
            raise self._not_ours()
        content = self._file.readall()
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        if not begins_as_journal(content, lines):
            raise self._not_ours()
        if expected and not resume:
            self._require_no_entries(lines)
        if resume and lines:
            self._take(lines)
            self._file.seek(sum(map(len, lines)))
        else:
            self._file.seek(0)
            self._file.truncate()
            self._append(self._header)
        self._file.truncate()

    def _require_no_entries(self, lines: list[bytes]) -> None:
        entries = [entry for line in lines[1:] if (entry := read_line(line)) is not None]
        finished = [entry for entry in entries if not entry.get(UNFINISHED)]
        if finished:
            own = lines[0] == self._header
            of = "" if own else " of another run"
            add = f"add {parameter('resume')} to {self._offered(finished)}, or " if own else ""
            raise self._refused(
                f"holds {plural(len(finished), 'finished part')}{of}", f"{add}name another"
            )

    def _offered(self, finished: list[dict[str, Any]]) -> str:
        """What resuming does with the parts that a file holds."""
        them = "it" if len(finished) == 1 else "them"
        if any(map(self._is_usable, finished)):
            return f"take {them}"
        unknown = self.decided_by is None or all(entry.get(KEY) is None for entry in finished)
        return f"count {them} again{f' ({self.obstacle()})' if unknown else ''}"

    def _not_ours(self) -> ArchscopeError:
        return self._refused(
            "is not a journal of archscope, so it is left as it is", "name another"
        )

    def _take(self, lines: list[bytes]) -> None:
        if lines[0] != self._header:
            raise self._refused(
                "was written for another run or by another version",
                "name another, this one stays as it is",
            )
        others = []
        for line in lines[1:]:
            entry = read_line(line)
            if entry is None:
                self.damaged += 1
            elif entry.get(UNFINISHED):
                continue
            elif self._is_usable(entry):
                entry.pop(KEY, None)
                self.entries.append(entry)
            else:
                others.append(entry)
        self._count_left(others)

    def _is_usable(self, entry: Mapping[str, Any]) -> bool:
        """Whether what decided an entry is known, and what is at hand."""
        return self._key is None or entry.get(KEY) == (self.decided_by or "")

    def _count_left(self, others: list[dict[str, Any]]) -> None:
        """Count the parts that no entry is taken of, each once."""
        taken = set(map(subject_of, self.entries))
        for entry in {
            subject_of(entry): entry for entry in others if subject_of(entry) not in taken
        }.values():
            unknown = self.decided_by is None or entry.get(KEY) is None
            self.uncertain += unknown
            self.outdated += not unknown

    def _append(self, line: bytes) -> None:
        end = self._file.tell()
        try:
            while line:
                line = line[self._file.write(line) :]
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError:
            with suppress(OSError):  # half a line on a full disk
                self._file.truncate(end)
            raise

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

    def _unusable(self, problem: str, error: OSError | ValueError) -> UnusableError:
        reason = f"{problem} ({reason_of(error)})"
        return UnusableError(parameter("journal", self.path), reason, "name another")


def _opened(path: Path, trusted: bool) -> io.FileIO:
    """A file to append to, made where it is missing.

    Raises:
        OSError: it cannot be opened, is a pipe or a device, or another user's: any of them unless
            it is trusted, else one that could have been planted there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT
    if not trusted:
        return io.FileIO(open_own(path, flags), "r+")
    waiting = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | waiting, 0o666)
    try:
        status = os.fstat(descriptor)
        require_regular(status)
        if not is_own(status) and path.resolve().parent.stat().st_mode & stat.S_IWOTH:
            raise OSError(0, "it belongs to another user, in a folder where anyone can write")
    except BaseException:
        os.close(descriptor)
        raise
    return io.FileIO(descriptor, "r+")


def _reads(read: Callable[[dict[str, Any]], object], entry: dict[str, Any]) -> bool:
    try:
        read(entry)
    except (ValueError, TypeError, KeyError):
        return False
    return True


def reason_of(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
