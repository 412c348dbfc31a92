"""Tasks on the nodes of a Ray cluster.

Ray starts the tasks and finds the nodes. What it leaves open is decided here: which nodes may
serve, what happens to the task of a process or node that dies, and when to stop waiting.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from archscope import interruption
from archscope.engines.engine import EngineError, Lost, Result, Task, WorkerError
from archscope.engines.on_ray.nodes import Misfit, Nodes, Request, misfit
from archscope.engines.on_ray.processes import OwnCluster

HERE = "ray"
"""The address of the cluster of `RAY_ADDRESS` or of this machine, or else a new one here."""

PACKAGE = Path(__file__).parents[2]

TRAVELS = ("TORCH", "PYTORCH", "ATEN", "TIMM", "TRANSFORMERS", "DIFFUSERS")
"""Environment variables that decide counts, and that mean the same on every machine."""

REMEDY = (
    "check the address and, where the cluster requires a token, set RAY_AUTH_MODE=token and "
    "RAY_AUTH_TOKEN"
)
"""Ray 2.60 starts clusters with a token by default, and drops a client that sends none."""

TRIES = 4
"""How many nodes may die under one task before it is taken for the cause."""

IN_FLIGHT_PER_CPU = 2
"""Enough that no node waits for the driver, and few enough that the driver holds few results."""

OBJECT_STORE_BYTES = 2**27
"""Of a cluster that is started here: results are a few kilobytes."""

MESSAGE_SECONDS = 0.2
"""How long the tasks of one message take together: sending it costs some milliseconds."""

MOST_TOGETHER = 64
"""So that a driver that dies loses little."""

MOMENT = 1.0
"""Seconds between two looks at the nodes while no result comes."""


@dataclass
class OnRay:
    """The nodes of a Ray cluster, one task a core or a GPU.

    Args:
        address: `ray`, or `ray://host:port`.
        request: what each task takes, and which versions its node must have.
        jobs: most tasks under way at once; by default twice as many as can run.
        files: what travels to every node besides archscope itself, by its place there.
        tell: is given a line about nodes that cannot serve or are gone.
    """

    address: str
    request: Request
    jobs: int | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda line: None
    _nodes: Nodes | None = None
    _own: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> OnRay:
        with contextlib.ExitStack() as started:
            self._connect(started)
            self._nodes = started.enter_context(Nodes(self.address, self.request, self.tell))
            self._nodes.admit()
            self._own = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interruption.held_back():
            self._own.close()

    @property
    def place(self) -> str:
        """The number of nodes that serve, such as `3 nodes`."""
        return "" if self._nodes is None else self._nodes.described()

    def completed(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Apply a function to every task; see `Engine.completed`."""
        assert self._nodes is not None, "enter the engine first"
        run = _Run(function, tasks, self._nodes)
        try:
            while run.unfinished:
                run.submit(self.jobs or IN_FLIGHT_PER_CPU * self._nodes.slots())
                yield from run.landed()
        finally:
            run.cancel()

    def _connect(self, started: contextlib.ExitStack) -> None:
        """Join the cluster as one job, which ends with it; a connection that is there is shared.

        Raises:
            EngineError: there is no Ray, or no such cluster.
        """
        ray = imported(self.address)
        if ray.is_initialized():
            return
        take_sigterm = started.enter_context(interruption.terminable())
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="archscope-")))
        _pack(folder, self.files)
        variables = {k: v for k, v in os.environ.items() if k.startswith(TRAVELS)}
        job = {
            "runtime_env": {"working_dir": str(folder), "env_vars": variables},
            "log_to_driver": False,
            "logging_level": "error",
        }
        # Ray prints what happens to its processes on standard output, where the answer goes.
        ray._private.worker._worker_logs_enabled = False
        left = started.enter_context(contextlib.ExitStack())
        started.callback(_leave, ray)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say is in the error too
                self._join(ray, job, left)
            take_sigterm()  # Ray's own handler leaves as if a network called exit
        except SystemExit as error:  # Ray's own answer to SIGTERM
            raise interruption.Terminated(interruption.TERMINATED) from error
        except Exception as error:
            raise EngineError(
                self.address, f"no cluster answers there ({_reason(error)})", REMEDY
            ) from error

    def _join(self, ray: Any, job: dict[str, Any], left: contextlib.ExitStack) -> None:
        if self.address != HERE:
            ray.init(self.address, **job)
            return
        try:
            ray.init("auto", **job)
        except ConnectionError:
            if "RAY_ADDRESS" in os.environ:
                raise
            self.tell("no Ray cluster runs here, so one is started on this machine alone")
            left.callback(OwnCluster().end)  # once the job has left it
            ray.init(
                "local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **job
            )


def imported(address: str) -> Any:
    """Ray itself.

    Raises:
        EngineError: it is not installed.
    """
    # Both are read when Ray is imported.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks that are cancelled
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            address, f"Ray cannot be imported ({error})", "install archscope-torch[ray]"
        ) from error
    return ray


def _pack(folder: Path, files: Mapping[str, Path]) -> None:
    """Put together what the nodes get: archscope as it is here, and the user's files."""
    ignored = shutil.ignore_patterns("__pycache__", ".git")
    for place, source in {PACKAGE.name: PACKAGE, **files}.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)


def _reason(error: Exception) -> str:
    """The first line of what Ray says, with the second where the first only leads to it."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join([first, *(line.strip() for line in rest[:1] if first.endswith(":"))])


def _leave(ray: Any) -> None:
    with contextlib.suppress(Exception):  # of a head that is gone nothing is left to end
        ray.shutdown()


class _Run:
    """The tasks of one call: those that wait, and those that were given to Ray.

    Where the memory of a node runs out, Ray ends the task that began last, which need not be the
    one that takes it. So such a task is a suspect: it runs again once no other task is left, and
    of suspects a node runs one at a time.
    """

    def __init__(self, function: Callable[[Any], Any], tasks: Sequence[Any], nodes: Nodes) -> None:
        self.tasks = tasks
        self.nodes = nodes
        self.waiting = deque(range(len(tasks)))
        self.flying: dict[Any, list[int]] = {}
        self.alone: set[int] = set()
        self.suspects: deque[int] = deque()
        self.by_itself: set[int] = set()
        self.seconds, self.finished = 0.0, 0
        self.deaths: dict[int, int] = {}
        self.function = _remote(function, nodes.request)

    @property
    def unfinished(self) -> bool:
        """Whether a task has no result yet."""
        return bool(self.waiting or self.flying or self.suspects)

    def submit(self, most: int) -> None:
        """Give Ray tasks until so many are under way."""
        while self.waiting and len(self.flying) < most:
            self._give(self._batch(), label_selector=self.nodes.selector())
        if self.suspects and not self.flying:
            self._one_a_node(most)

    def _one_a_node(self, most: int) -> None:
        """Give each node one suspect; of a node that is gone by then, another takes it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as Affinity

        for node in self.nodes.serving()[: min(most, len(self.suspects))]:
            index = self.suspects.popleft()
            self.by_itself.add(index)
            self._give([index], scheduling_strategy=Affinity(node, soft=True))

    def _give(self, batch: list[int], **options: Any) -> None:
        tasks = [self.tasks[index] for index in batch]
        self.flying[self.function.options(**options).remote(tasks)] = batch

    def _batch(self) -> list[int]:
        """The next tasks that go together; one that may have ended a process goes alone."""
        size = self._size()
        batch = [self.waiting.popleft()]
        if batch[0] not in self.alone:
            while self.waiting and len(batch) < size and self.waiting[0] not in self.alone:
                batch.append(self.waiting.popleft())
        return batch

    def _size(self) -> int:
        """How many tasks go together: a message's worth of seconds, but some for every node."""
        if self.nodes.request.fresh or not self.finished:
            return 1
        worth = int(MESSAGE_SECONDS * self.finished / max(self.seconds, 1e-9))
        share = len(self.waiting) // (IN_FLIGHT_PER_CPU * self.nodes.slots())
        return max(1, min(worth, share, MOST_TOGETHER))

    def landed(self) -> Iterator[tuple[int, Any]]:
        """Wait a moment, and yield what is done by then.

        Raises:
            EngineError: the head does not answer, or no node is left that fits.
        """
        import ray

        references = list(self.flying)
        with self._reaching():
            ready, _ = ray.wait(references, num_returns=1, timeout=MOMENT)
            if ready:
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        self.nodes.require_some()
        for reference in ready:
            batch = self.flying.pop(reference)
            results = self._results(reference, batch)
            if isinstance(results, Misfit):
                self.nodes.refuse(results)
                self._again(batch)
            else:
                yield from zip(batch, results, strict=False)

    def _results(self, reference: Any, batch: list[int]) -> Misfit | Sequence[Any]:
        """What became of tasks that went together; empty where they are to run again.

        Raises:
            WorkerError: the function raised.
        """
        import ray
        from ray import exceptions

        try:
            with self._reaching():
                found = ray.get(reference)
        except exceptions.OutOfMemoryError:
            return self._suspected(batch)
        except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError):
            return self._orphaned(batch)
        except exceptions.WorkerCrashedError:
            return self._lost(batch, "its process ended on its node")
        except exceptions.RayTaskError as error:
            raise WorkerError(str(error)) from error
        if isinstance(found, Misfit):
            return found
        seconds, results = found
        self.seconds, self.finished = self.seconds + seconds, self.finished + len(batch)
        return list(results)

    def _lost(self, batch: list[int], reason: str) -> Sequence[Any]:
        """Of several tasks nobody knows which ended their process, so each runs alone."""
        if len(batch) == 1:
            return [Lost(reason)]
        self.alone.update(batch)
        return self._again(batch)

    def _suspected(self, batch: list[int]) -> Sequence[Any]:
        """A task whose node ran out of memory while it had nothing else to run is the cause."""
        if len(batch) > 1:
            self.alone.update(batch)
            return self._again(batch)
        if batch[0] in self.by_itself:
            return [Lost("its node ran out of memory")]
        self.suspects.extend(batch)
        return []

    def _orphaned(self, batch: list[int]) -> Sequence[Any]:
        for index in batch:
            self.deaths[index] = self.deaths.get(index, 0) + 1
        if len(batch) == 1 and self.deaths[batch[0]] >= TRIES:
            return [Lost(f"{TRIES} nodes died while they ran it")]
        if max(self.deaths[index] for index in batch) > 1:
            self.alone.update(batch)
        return self._again(batch)

    def _again(self, batch: list[int]) -> Sequence[Any]:
        self.by_itself.difference_update(batch)
        self.waiting.extendleft(reversed(batch))
        return []

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Take a lost connection for what it is; Ctrl-C may be what broke it."""
        from ray import exceptions

        try:
            yield
        except (ConnectionError, exceptions.RaySystemError) as error:
            interruption.check()
            raise self.nodes.unreachable() from error

    def cancel(self) -> None:
        """Stop what is still under way."""
        import ray

        with interruption.held_back(), contextlib.suppress(Exception):
            for reference in self.flying:
                ray.cancel(reference, force=True)


def _remote(function: Callable[[Any], Any], request: Request) -> Any:
    """The function as Ray runs it, on a node that is looked at first.

    It is made here, so that Ray sends it to each process once, and not with every task.
    Ray repeats nothing by itself: it cannot tell a node that died from a task that kills.
    """
    import ray

    versions = dict(request.versions)

    def served(tasks: Sequence[Any]) -> Misfit | tuple[float, list[Any]]:
        began = time.perf_counter()
        found = misfit(versions) or [function(task) for task in tasks]
        return found if isinstance(found, Misfit) else (time.perf_counter() - began, found)

    fresh = {"max_calls": 1} if request.fresh else {}
    return ray.remote(num_cpus=request.cpus, num_gpus=request.gpus, max_retries=0, **fresh)(served)
