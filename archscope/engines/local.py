"""Tasks in this process, or spread over others of this machine that may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from archscope import interruption
from archscope.engines.engine import Lost, Result, Task, WorkerError

NAME = "local"
"""What `on` calls this engine."""


def usable_cores() -> int:
    """How many processes may run at once on the cores that this process is allowed."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    """The machine at hand.

    With several jobs each worker process holds one task at a time, so that one that dies (out of
    memory, a crash in a library) loses that task alone and is replaced.
    Workers end when this process does, however it ends.

    Args:
        jobs: how many processes; 1 calls the function in this one.
        preload: modules that are imported once and shared by all workers where the system can.
    """

    jobs: int = 1
    preload: Sequence[str] = ()

    def __enter__(self) -> Local:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Workers end with the iterator that uses them."""

    @property
    def place(self) -> str:
        """Nothing to say of one machine."""
        return ""

    def completed(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Apply a function to every task; see `Engine.completed`."""
        if self.jobs <= 1:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        waiting = list(enumerate(tasks))[::-1]
        team = _Team(function, self.preload)
        try:
            for _ in range(min(self.jobs, len(tasks))):
                team.assign(*waiting.pop())
            while team.busy:
                for index, result in team.finished():
                    if waiting:
                        team.assign(*waiting.pop())
                    yield index, result
        finally:
            team.end()


HERE = Local()
"""This process."""


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was ended by {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code}"


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
        # A worker is in the list, or was never there.
        with _same_modules() as own, interruption.starting_processes():
            connection, process = self.idle.pop() if self.idle else self._started(own)
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
                yield index, Lost(_how_it_ended(process.exitcode))
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

    def _started(self, own: Mapping[str, str | None]) -> tuple[Connection, BaseProcess]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_serve, args=(theirs, self.function, own), daemon=True, name="archscope worker"
        )
        process.start()
        theirs.close()
        return ours, process


_PATHS = ("PYTHONPATH", "PYTHONSAFEPATH")
"""Variables that decide where a process finds its modules."""


@contextlib.contextmanager
def _same_modules() -> Iterator[Mapping[str, str | None]]:
    """Let a process that starts here find its modules where this one does.

    Python searches the current folder before its own modules in the servers that start workers,
    so that a `queue.py` or `copy.py` beside the user's networks would run in place of Python's.

    Yields:
        the variables of this process, as they are afterwards.
    """
    own = {name: os.environ.get(name) for name in _PATHS}
    places = [place or str(Path.cwd()) for place in sys.path]
    _set_variables({"PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"})
    try:
        with contextlib.nullcontext() if sys.version_info >= (3, 11) else _isolated():
            yield own
    finally:
        _set_variables(own)


@contextlib.contextmanager
def _isolated() -> Iterator[None]:
    """Start servers with `-I`, where Python does not know `PYTHONSAFEPATH`.

    They preload only what is installed, and hand workers the folders that this process searches.
    """
    util: Any = multiprocessing.util
    flags = util._args_from_interpreter_flags
    util._args_from_interpreter_flags = lambda: [*flags(), "-I"]
    try:
        yield
    finally:
        util._args_from_interpreter_flags = flags


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


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


def _serve(
    connection: Connection, function: Callable[[Any], Any], variables: Mapping[str, str | None]
) -> None:
    """Answer tasks until the other end closes, which a kill does too.

    Args:
        connection: of tasks and their results.
        function: finds the result.
        variables: of the environment, as the parent has them.
    """
    _set_variables(variables)
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
