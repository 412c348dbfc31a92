"""One function over many tasks, in this process or spread over others that may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from archscope import interruption

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """A worker process ended while it had a task.

    Args:
        exit_code: as the system tells it; negative for a signal.
    """

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            with_name = signal.Signals(-self.exit_code).name
            return f"its process was ended by {with_name}"
        return f"its process ended with exit code {self.exit_code}"


class WorkerError(RuntimeError):
    """What the function raised in a worker, or why its result could not be sent."""


def usable_cores() -> int:
    """How many processes may run at once on the cores that this process is allowed."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def completed(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    jobs: int,
    preload: Sequence[str] = (),
) -> Iterator[tuple[int, Result | Died]]:
    """Apply a function to every task and yield (index, result) as each is done.

    With several jobs each worker process holds one task at a time, so that one that dies (out of
    memory, a crash in a library) loses that task alone and is replaced.
    Workers end when this process does, however it ends.

    Args:
        function: a module's own function or a partial of one when `jobs` > 1.
        tasks: in the order in which they begin.
        jobs: how many processes; 1 calls the function here.
        preload: modules that are imported once and shared by all workers where the system can.

    Raises:
        Exception: what the function raised here.
        WorkerError: what it raised in a worker, with the traceback from there.
    """
    if jobs <= 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
        return
    waiting = list(enumerate(tasks))[::-1]
    team = _Team(function, preload)
    try:
        for _ in range(min(jobs, len(tasks))):
            team.assign(*waiting.pop())
        while team.busy:
            for index, result in team.finished():
                if waiting:
                    team.assign(*waiting.pop())
                yield index, result
    finally:
        team.end()


class _Team:
    """Worker processes, each behind a pipe of its own."""

    def __init__(self, function: Callable[[Any], Any], preload: Sequence[str]) -> None:
        # Forking a process that has run autograd or a thread pool is unsafe, and starting each
        # worker from nothing imports torch once a worker: a fork server imports it once.
        known = multiprocessing.get_all_start_methods()
        method = "forkserver" if "forkserver" in known else "spawn"
        self.context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self.context.set_forkserver_preload(list(preload))
        self.function = function
        self.idle: list[tuple[Connection, BaseProcess]] = []
        self.busy: dict[Connection, tuple[BaseProcess, int]] = {}

    def assign(self, index: int, task: Any) -> None:
        with interruption.starting_processes():  # a worker is in the list, or was never there
            connection, process = self.idle.pop() if self.idle else self._started()
            self.busy[connection] = process, index
        with contextlib.suppress(OSError):  # a worker that is gone shows when its answer is read
            connection.send(task)

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Wait for at least one worker; its result, or how it died."""
        for ready in wait(list(self.busy)):
            connection: Any = ready
            process, index = self.busy.pop(connection)
            try:
                result = connection.recv()
            except (EOFError, OSError):
                process.join()
                connection.close()
                yield index, Died(process.exitcode)
            else:
                self.idle.append((connection, process))
                if isinstance(result, WorkerError):
                    raise result
                yield index, result

    def end(self) -> None:
        """Stop all workers, in the middle of a task if need be."""
        with interruption.held_back():
            running = [(c, p) for c, (p, _) in self.busy.items()] + self.idle
            for connection, process in running:
                connection.close()
                process.kill()
            for _, process in running:
                process.join()
            if interruption.happened():
                _end_fork_server()

    def _started(self) -> tuple[Connection, BaseProcess]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_serve, args=(theirs, self.function), daemon=True, name="archscope worker"
        )
        process.start()
        theirs.close()
        return ours, process


def _end_fork_server() -> None:
    """Do not wait until a server that imports torch finds out that nobody needs it."""
    if "multiprocessing.forkserver" not in sys.modules:
        return
    from multiprocessing import forkserver

    server = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if server is not None:
        with contextlib.suppress(OSError):
            os.kill(server, signal.SIGKILL)


def _end_with_parent() -> None:
    """End in the middle of a task when the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Answer tasks until the other end closes, which a kill does too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = connection.recv()
            try:
                connection.send(function(task))
            except Exception as error:
                kind = type(error).__name__
                connection.send(WorkerError(f"{kind}: {error}\n\n{traceback.format_exc()}"))
