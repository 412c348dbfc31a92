"""What a count changes in this process, and how all of it is put back, whatever ends the count.

PyTorch has functions, modes, flags and random generators that belong to the process, not to a
network. A count replaces some and its network may change others.
One thread at a time does so, no other thread notices, and Ctrl-C waits while something is put back.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from archscope.process.code_state import CodeState
from archscope.process.signals import finaliser, interruptible, signals_waiting
from archscope.process.snapshot import Snapshot, watch

__all__ = [
    "code_state_kept",
    "collector_paused",
    "finaliser",
    "interruptible",
    "is_joined",
    "joined",
    "patched",
    "patched_here",
    "undisturbed",
    "watch",
]

_LOCK = threading.RLock()

_MISSING = object()

OWN_FRAMES = 500
"""Calls between a network's own, besides those that stand between a module and its caller."""


class _Count:
    """The count that runs: whether one does, its patches, and threads besides its own."""

    def __init__(self) -> None:
        self.runs = False
        self.thread = 0
        self.changes: list[tuple[Any, str, Any]] = []
        self.code: list[CodeState] = []
        self.joined: set[int] = set()


_present = _Count()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let this thread alone change PyTorch inside, and leave all as it was.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed where it had to wait.
    """
    with _LOCK:
        if _present.runs:
            yield
            return
        with signals_waiting():
            before = Snapshot()
            try:
                _present.thread = threading.get_ident()
                _present.runs = True
                try:
                    sys.setrecursionlimit(2 * before.recursion + OWN_FRAMES)
                    with _no_inference_mode():
                        yield
                finally:
                    _put_back(before)
            finally:
                try:
                    if not before.is_back:  # something ended the first time half-way
                        _put_back(before)
                finally:
                    _present.joined.clear()
                    _present.runs = False


def _copied() -> None:
    """In a copy of this process: a count of another thread does not go on there, nor ends."""
    global _LOCK
    if _present.runs and _present.thread == threading.get_ident():
        return
    _LOCK = threading.RLock()
    if _present.runs:
        _undo(0)
        _restore_code(0)
        _present.joined.clear()
        _present.runs = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copied)


@contextmanager
def patched(patches: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Replace attributes, and put the originals back whatever happens inside.

    Args:
        patches: owner, name and value of each. Other threads see them, see `patched_here`.
    """
    with undisturbed():
        start = len(_present.changes)
        try:
            for owner, name, value in patches:
                _present.changes.append((owner, name, vars(owner).get(name, _MISSING)))
                setattr(owner, name, value)
            yield
        finally:
            _undo(start)


@contextmanager
def patched_here(patches: Sequence[tuple[Any, str, Callable[..., Any]]]) -> Iterator[None]:
    """Replace functions in this thread alone; as `patched`.

    Whoever binds one of them meanwhile, as a module does that is imported, has the original
    afterwards.
    """
    thread, active = threading.get_ident(), True

    def either(original: Callable[..., Any], replacement: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def chosen(*args: Any, **kwargs: Any) -> Any:
            asking = threading.get_ident()
            here = active and (asking == thread or asking in _present.joined)
            return (replacement if here else original)(*args, **kwargs)

        return chosen

    try:
        with patched([(o, name, either(getattr(o, name), new)) for o, name, new in patches]):
            yield
    finally:
        active = False


@contextmanager
def joined() -> Iterator[None]:
    """Let this thread see what another has replaced with `patched_here`, which started this one."""
    thread = threading.get_ident()
    _present.joined.add(thread)
    try:
        yield
    finally:
        _present.joined.discard(thread)


def is_joined(thread: int) -> bool:
    """Whether a thread is inside `joined`, by its identity."""
    return thread in _present.joined


@contextmanager
def code_state_kept(code: Iterable[Any]) -> Iterator[CodeState]:
    """Put back what classes and functions change outside of objects; see `CodeState`."""
    with undisturbed():
        start = len(_present.code)
        state = CodeState(code)
        _present.code.append(state)
        try:
            yield state
        finally:
            _restore_code(start)


def _restore_code(start: int) -> None:
    while len(_present.code) > start:
        _present.code[-1].put_back()
        _present.code.pop()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector out: thousands of new modules would wake it for nothing.

    It takes more than half of the time of a build otherwise.
    """
    with undisturbed():
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def _put_back(before: Snapshot) -> None:
    _undo(0)
    before.put_back()
    _restore_code(0)


def _undo(start: int) -> None:
    """Take back the patches from a place on, the latest first."""
    while len(_present.changes) > start:
        owner, name, value = _present.changes[-1]
        if value is _MISSING:
            with suppress(AttributeError):
                delattr(owner, name)
        else:
            setattr(owner, name, value)
        _present.changes.pop()


@contextmanager
def _no_inference_mode() -> Iterator[None]:
    """Count under `torch.inference_mode` as under `torch.no_grad`: a copy may be trained."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield
