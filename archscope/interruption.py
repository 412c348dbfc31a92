"""What Ctrl-C does to the command line: it ends it with exit code 130 and one line, at any moment.

While a command runs, Ctrl-C is a `KeyboardInterrupt`, which journals and measurements take for
their end.
Before and after, and at the third time, it leaves at once, unless a few steps that belong together,
such as writing a file or ending processes, are under way.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

EXIT_CODE = 130
"""128 and the number of the signal, as shells say it."""

TERMINATED = 128 + signal.SIGTERM
"""The same of a request to end, where something must be ended first."""

PATIENCE = 3
"""The Ctrl-C that leaves at once: something holds the earlier ones back."""


class _Process:
    """What this process did with the interruptions that it got."""

    running = False
    times = 0
    answered = 0
    terminated = False
    late = False


def watch(leave: Callable[[], None]) -> None:
    """Answer Ctrl-C from now on; a process that was started deaf to it stays so.

    Args:
        leave: ends the process at once.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        late, _Process.late = _Process.late, False
        _Process.times += not late
        lost = _may_be_lost()
        at_once = not _Process.running or _Process.times >= PATIENCE
        if lost and _Process.answered and not at_once:
            _raise_once_loaded()
            return
        if lost or at_once:
            leave()
        raise KeyboardInterrupt

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            leave()
        sys.__excepthook__(kind, error, trace)

    def unraisable(raised: Any) -> None:  # Ctrl-C in a finaliser, which cannot raise
        if issubclass(raised.exc_type, KeyboardInterrupt):
            leave()
        sys.__unraisablehook__(raised)

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, handle)
    sys.excepthook, sys.unraisablehook = uncaught, unraisable


def _may_be_lost() -> bool:
    """Whether PyTorch is being imported, which may take what is raised for a NumPy that is missing.

    It goes on then, and what was raised is lost.
    """
    loading = getattr(sys.modules.get("torch"), "__spec__", None)
    return bool(getattr(loading, "_initializing", False))


def _raise_once_loaded() -> None:
    """Press Ctrl-C again behind PyTorch's import, where something is to be said or ended first."""
    main = threading.get_ident()  # which alone answers signals

    def wait() -> None:
        while _may_be_lost():
            time.sleep(0.01)
        _Process.late = True
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # ends a wait for the system, too
        else:
            _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Inside, a `KeyboardInterrupt` reaches what says how to go on, and ends what was started."""
    _Process.answered += 1
    try:
        yield
    finally:
        _Process.answered -= 1


class Terminated(SystemExit):
    """SIGTERM, which ends the program on the way that leads past all that it must end."""


@contextlib.contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Let SIGTERM end what is started inside; elsewhere it ends the process at once.

    Yields:
        what takes the signal again, where a library took it meanwhile.
    """
    if not _is_main():
        yield lambda: None
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _Process.terminated = True
        raise Terminated(TERMINATED)

    def take() -> None:
        signal.signal(signal.SIGTERM, terminate)

    before = signal.getsignal(signal.SIGTERM)
    take()
    try:
        yield take
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def terminated() -> bool:
    """Whether SIGTERM came inside `terminable`; a library may have made another error of it."""
    return _Process.terminated


def end(code: object) -> None:
    """End the process as Python does, but for what Python does of its own accord.

    Python ends by the signal itself, not with an exit code, where `exec` was interrupted at any
    time before, and forgets who answers Ctrl-C while it takes itself apart.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Let Ctrl-C be a `KeyboardInterrupt` inside."""
    _Process.running = True
    try:
        yield
    finally:
        _Process.running = False


def at_once() -> None:
    """Let the next Ctrl-C leave at once: what is left is to say what happened."""
    _Process.running = False


def happened() -> bool:
    """Whether Ctrl-C was pressed; libraries may have made another error of it, or nothing."""
    return _Process.times > 0


def check() -> None:
    """Raise what a library held back.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, and yet this is reached.
    """
    if happened():
        raise KeyboardInterrupt


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Deliver Ctrl-C and SIGTERM behind a few steps that belong together, however often they come.

    Blocking the signals would not do: the system hands them to any thread that lets them in, and
    Python answers them in the main one all the same.
    """
    # Ctrl-C is held first and delivered last, so that what it raises finds SIGTERM put back.
    with _held(signal.SIGINT), _held(signal.SIGTERM):
        yield


@contextlib.contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    answer = signal.getsignal(number)
    if answer in (None, signal.SIG_IGN) or not _is_main():
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(number, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(number, answer)
        if came and callable(answer):
            answer(number, came[0])
        elif came:
            signal.raise_signal(number)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """The same for processes that are started inside: Ctrl-C is for this one, which ends them."""
    with held_back():
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # starting it lets Ctrl-C in again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
