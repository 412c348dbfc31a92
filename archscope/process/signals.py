"""Ctrl-C and its like, which wait while something of the process is changed or put back."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGVTALRM")
    if hasattr(signal, name)
)

Finaliser = TypeVar("Finaliser", bound=Callable[..., Any])

_finalisers: set[CodeType] = set()

PATIENCE = 3
"""The signal that is delivered wherever the count is: something holds the earlier ones back."""


class Signals:
    """Signals whose handlers may raise: delivered inside `interruptible`, else afterwards.

    Args:
        handlers: by the number of the signal.
    """

    def __init__(self, handlers: dict[int, Any]) -> None:
        self.handlers = handlers
        self.open = False
        self.waiting: list[int] = []
        self.raised: BaseException | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        raises = self.open and (frame is None or frame.f_code not in _finalisers)
        if raises or len(self.waiting) + 1 >= PATIENCE:
            before, self.open = self.open, False  # should the handler raise
            try:
                self.handlers[number](number, frame)
            except BaseException as error:
                self.raised = error
                raise
            self.open = before
        else:
            self.waiting.append(number)

    def deliver(self) -> None:
        """Call the handlers of what came meanwhile."""
        while self.waiting:
            number = self.waiting.pop(0)
            self.handlers[number](number, sys._getframe())


_present: Signals | None = None
"""Those of the count that runs."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Deliver Ctrl-C at once inside, where code that is not ours runs."""
    signals = _present
    if signals is None or not _is_main():
        yield
        return
    try:
        signals.open = True
        signals.deliver()
        yield
    finally:
        signals.open = False


def finaliser(function: Finaliser) -> Finaliser:
    """Mark a function that Python calls when an object goes: what is raised in there is lost."""
    code: Any = function
    _finalisers.add(code.__code__)
    return function


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Hold back inside, where something is changed or put back, what a signal may raise."""
    global _present
    if not _is_main():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    signals = Signals(handlers)
    installed = list(handlers.items())
    try:
        for number in handlers:
            signal.signal(number, signals.receive)
        _present = signals
        yield
    except Exception as error:
        if signals.raised is not None:  # and PyTorch or the network made another error of it
            raise signals.raised from error
        raise
    finally:
        try:
            _present = None
            _install(installed)
        finally:
            _install(installed)
    signals.deliver()


def _install(handlers: list[tuple[int, Any]]) -> None:
    """Set every handler, also where one of them raises on the way."""
    try:
        while handlers:
            signal.signal(*handlers[-1])
            handlers.pop()
    finally:
        if handlers:
            _install(handlers)
