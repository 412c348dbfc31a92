"""A network run on trial: nobody asked for it, so nothing of it may be noticed.

What code prints, logs and warns of can be dropped, and that ends with the trial. What it writes,
starts or waits for can be prevented by an audit hook alone: functions replaced for the while are
missed by code that imported them by name, a profiler's callback takes the place of the user's, and
a process of its own needs a network that can be pickled. Python keeps an audit hook until it ends.
So one is installed only before code runs that may do such things: for a network with code of its
user's, whose call has failed. Outside of a trial the hook does nothing but look at an empty set.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from archscope.process import patched, patched_here

__all__ = ["LeavesTracesError", "traceless", "unheard"]


class LeavesTracesError(BaseException):
    """A run would change something outside of it, or wait; no `except Exception` catches it."""


class _Muted:
    """A stream that drops what one thread writes."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.thread, self.buffer = stream, threading.get_ident(), io.BytesIO()

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread:
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def unheard() -> Iterator[None]:
    """Drop what this thread prints, logs and warns of."""
    streams = [
        (sys, name, _Muted(stream))
        for name in ("stdout", "stderr")
        if (stream := getattr(sys, name)) is not None
    ]
    logs = [(logging.Logger, "handle", _unlogged)]
    with patched(streams), patched_here(logs), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unlogged(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Leave a record without handlers."""


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EFFECTS = (
    "builtins.input", "fcntl.", "ftplib.", "os.chdir", "os.chmod", "os.chown", "os.exec",
    "os.fork", "os.kill", "os.link", "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove",
    "os.rename", "os.rmdir", "os.symlink", "os.system", "os.truncate", "os.unsetenv", "os.utime",
    "shutil.", "signal.", "socket.", "sqlite3.", "subprocess.", "time.sleep", "urllib.",
)  # fmt: skip
"""How the names of Python's audit events begin that a run on trial must not cause (PEP 578)."""

_on_trial: set[int] = set()
_installed: list[bool] = []


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Python calls this before each audited event, and what it raises prevents the event."""
    if not _on_trial or threading.get_ident() not in _on_trial:
        return
    if event == "open":
        _, mode, flags = args
        refused = bool(set(mode or "") & set("wax+") or (flags or 0) & _WRITES)
    else:
        refused = event.startswith(_EFFECTS)
    if refused:
        raise LeavesTracesError(event)


@contextmanager
def traceless() -> Iterator[None]:
    """End a run of this thread that writes, starts or connects to something, or waits.

    Python keeps an audit hook until it ends; this one lets everything pass but such a run.

    Raises:
        LeavesTracesError: instead of the first of these.
    """
    import torch
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    cache_dir()  # PyTorch may ask for it in a run; first, it is found and made
    if not _installed:
        sys.addaudithook(_refuse)
        _installed.append(True)
    thread = threading.get_ident()
    writers = [(torch, "save", _unsaved)]  # it opens its file in C++
    with unheard(), patched_here(writers), patched([(sys, "dont_write_bytecode", True)]):
        _on_trial.add(thread)
        try:
            yield
        finally:
            _on_trial.discard(thread)


def _unsaved(*args: Any, **options: Any) -> NoReturn:
    raise LeavesTracesError("torch.save")
