"""Threads of one run take turns: whoever starts one waits for it, as if it had called a function.

So the log sees one module call inside another, in an order that no scheduling decides, and autograd
numbers its nodes as in one thread.
A thread that waits for others, as one that takes its work from a queue does, is left to itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from archscope.analysis import waits
from archscope.analysis.calls import CallLog

PATIENCE = 20
"""Polls without an operator after which a thread is left to itself."""

SECONDS = 0.25
"""Between two polls."""

_WAITING = {
    waits.until_notified.__code__,
    threading.Thread._wait_for_tstate_lock.__code__,  # type: ignore[attr-defined]
}
"""Functions in which a thread waits for another."""

_DEEP = 4
"""How far below such a function a thread may be."""


class Turns:
    """Whose turn it is: that of `log.thread`.

    Args:
        log: of the run, which begins in this thread.
    """

    def __init__(self, log: CallLog) -> None:
        self.log = log
        self.operators = 0
        self._number = 0
        self._free = threading.Lock()
        self._free.acquire()

    @contextmanager
    def taken(self, patient: bool) -> Iterator[None]:
        """Let calls and operators of this thread belong to the run inside, once it is its turn.

        Args:
            patient: whether another thread is about to wait for this one.
        """
        free, here = self._free, threading.get_ident()
        if not self._patiently(lambda seconds: free.acquire(timeout=seconds), patient):
            yield
            return
        before, self.log.thread = self.log.thread, here
        self._catch_up()
        try:
            yield
        finally:
            self._number = max(self._number, self.log.sequence_number())
            if self.log.thread == here:
                self.log.thread = before
                free = self._free  # another one, where a thread of this one was left to itself
            if free.locked():
                free.release()

    def give(self, finished: Callable[[float], bool]) -> None:
        """Wait for a thread that was started, unless it waits itself.

        Args:
            finished: waits so many seconds at most, and tells whether the thread has ended.
        """
        here, depth = threading.get_ident(), len(self.log.stack)
        if self.log.thread != here:
            return
        self._number = max(self._number, self.log.sequence_number())
        free = self._free
        free.release()
        if self._patiently(finished) and self._patiently(lambda s: self._free.acquire(timeout=s)):
            self._catch_up()
            return
        if self._free is not free:  # it was itself left to itself meanwhile
            return
        self._free = threading.Lock()
        self._free.acquire()
        self.log.thread = here
        if len(self.log.stack) > depth:
            self.log.out_of_sight = self.log.current.name
            del self.log.stack[depth:]

    def _patiently(self, attempt: Callable[[float], bool], patient: bool = True) -> bool:
        polls, seen, place = 0, -1, 0
        while not attempt(SECONDS if patient else 0):
            there = self._waits_at()
            if not patient or polls == PATIENCE or 0 != there == place:
                return False
            polls, seen, place = polls + 1 if seen == self.operators else 0, self.operators, there
        return True

    def _waits_at(self) -> int:
        """The frame in which the thread whose turn it is waits for another; zero where none is."""
        thread = self.log.thread
        frame = None if thread == threading.get_ident() else sys._current_frames().get(thread)
        for _ in range(_DEEP):
            if frame is None or frame.f_code in _WAITING:
                break
            frame = frame.f_back
        return id(frame) if frame is not None and frame.f_code in _WAITING else 0

    def _catch_up(self) -> None:
        """Make autograd number the nodes of this thread from the latest of the run on."""
        missing = self._number - self.log.sequence_number()
        if missing > 0:
            with torch._C._DisableTorchDispatch(), torch.enable_grad():
                leaf = torch.empty(0, requires_grad=True)
                for _ in range(missing):
                    leaf.view(0)
