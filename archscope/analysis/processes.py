"""Processes that a network starts or talks to in its `forward`: what they compute is out of sight.

A copy of this process has the run's modes, but what it takes down is lost with it; and tensors of
which only the shape is known are of no use elsewhere. So a process is started with values, a run is
refused of which another process ran an operator or got a tensor, and nobody waits for an answer
that cannot come.
"""

from __future__ import annotations

import mmap
import multiprocessing.queues
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Any

from archscope.analysis.nested import tensors
from archscope.analysis.values.reader import running
from archscope.errors import ArchscopeError
from archscope.process import patched, patched_here

HANDED = "hands tensors to another process, which cannot be observed"
RAN = "runs operators in another process, which cannot be observed"
STARTS = "starts another process"
REMEDY = "count it without that, or one of its modules"


class Copies:
    """What copies of this process do, which they say in memory that they share with it.

    In a copy it is the lock of the run, which is asked for around every operator.
    """

    def __init__(self) -> None:
        self._memory: Any = None

    def prepare(self) -> None:
        """Have memory to share, before the process is copied."""
        if self._memory is None:
            self._memory = mmap.mmap(-1, 1)

    @property
    def ran(self) -> bool:
        """Whether one of them ran an operator."""
        return self._memory is not None and self._memory[0] != 0

    def __enter__(self) -> None:
        self._memory[0] = 1

    def __exit__(self, *error: object) -> None:
        pass


@contextmanager
def watched(network: str) -> Iterator[None]:
    """Notice inside what this thread has other processes do, and let none start without values.

    Args:
        network: its name.

    Raises:
        ArchscopeError: one ran operators, or was handed tensors.
    """
    copies, handed_over = Copies(), False

    def hand_over(*values: Any) -> None:
        nonlocal handed_over
        run = _observer()
        if run is not None and any(True for _ in tensors(values)):
            if run.on_meta:
                run.need_value()
            handed_over = True  # should the network catch this
            raise ArchscopeError(network, HANDED, REMEDY)

    def fork() -> int:
        run = _observer()
        if run is None:
            return int(_fork())
        if run.on_meta:
            run.log.why_values = STARTS
            run.need_value()
        copies.prepare()
        process = int(_fork())
        if process == 0:
            run.lock = copies
        return process

    def handing(original: Callable[..., Any]) -> Callable[..., Any]:
        """A method that hands its arguments to another process."""

        def handed(place: Any, *args: Any, **kwargs: Any) -> Any:
            if not _is_of_threads(place):
                hand_over(args, kwargs)
            return original(place, *args, **kwargs)

        return handed

    def reducing(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """How a tensor is written for another process."""

        def reduced(value: Any) -> Any:
            hand_over(value)
            return original(value)

        return reduced

    reducers: Any = vars(ForkingPickler)["_extra_reducers"]
    known = {kind: reducing(own) for kind, own in reducers.items() if _is_tensor(kind)}
    here = [(owner, name, handing(getattr(owner, name))) for owner, name in _methods()]
    if _fork is not None:
        here.append((os, "fork", fork))
    with patched([(ForkingPickler, "_extra_reducers", {**reducers, **known})]), patched_here(here):
        yield
    if handed_over or copies.ran:
        raise ArchscopeError(network, HANDED if handed_over else RAN, REMEDY)


_fork: Any = getattr(os, "fork", None)


def _observer() -> Any:
    """The observer of this thread's run."""
    run: Any = running()
    return getattr(run, "observer", run)


def _is_tensor(kind: type) -> bool:
    return kind.__name__ in ("Tensor", "Parameter")


def _is_of_threads(place: Any) -> bool:
    pools: Any = sys.modules.get("multiprocessing.pool")
    return pools is not None and isinstance(place, pools.ThreadPool)


def _methods() -> list[tuple[Any, str]]:
    """Methods that hand something to another process by way of a thread, of what is imported."""
    found = [(multiprocessing.queues.Queue, "put")]
    pools: Any = sys.modules.get("multiprocessing.pool")
    if pools is not None:
        names = ("apply_async", "_map_async", "imap", "imap_unordered")
        found += [(pools.Pool, name) for name in names]
    executors: Any = sys.modules.get("concurrent.futures.process")
    if executors is not None:
        found.append((executors.ProcessPoolExecutor, "submit"))
    return found
