"""What every engine does: take a function and its tasks, and yield each result as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeVar

from archscope.errors import ArchscopeError
from archscope.parameters import parameter

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """A task without a result, because the process that had it ended.

    Args:
        reason: how it ended, as a sentence without its full stop.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


class WorkerError(RuntimeError):
    """What the function raised in a worker, or why its result could not be sent."""


class EngineError(ArchscopeError):
    """Nothing can run there: no such cluster, no node that fits, or none that is left."""

    def __init__(self, on: str, problem: str, remedy: str) -> None:
        super().__init__(parameter("on", on), problem, remedy)


class Engine(Protocol):
    """Where tasks run; entered before the first task, and left however the run ends."""

    def __enter__(self) -> Engine:
        """Make ready, and refuse what can never run.

        Raises:
            EngineError: nothing can run there.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything that still runs."""

    @property
    def place(self) -> str:
        """Where tasks run at this moment, such as `3 nodes`; empty for this machine alone."""

    def completed(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Apply a function to every task and yield (index, result) as each is done.

        A task whose process dies is `Lost`; the others go on. Closing the iterator stops the
        tasks that are under way.

        Args:
            function: a module's own function, or a partial of one.
            tasks: in the order in which they begin.

        Raises:
            EngineError: no place is left where the tasks could run.
            WorkerError: what the function raised in another process, with its traceback.
            Exception: what it raised in this one.
        """
