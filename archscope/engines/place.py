"""What `on` names: the engine that runs a long run's tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archscope.engines.engine import Engine, EngineError
from archscope.engines.local import NAME, Local

RAY = "ray"
CLIENT = "ray://"
PLACES = f"write {NAME}, {RAY} or {CLIENT}host:10001"


@dataclass(frozen=True)
class Work:
    """What an engine must know of the tasks before they run.

    Args:
        preload: modules that they import, the slow part of starting a process.
        packages: whose versions decide their results.
        files: what they read besides archscope, by its place on another machine.
        gpus: how many each takes for itself.
        gpu: the model of GPU, as the label of a node says it; any when empty.
        fresh: whether each task has a process of its own.
    """

    preload: Sequence[str] = ()
    packages: Sequence[str] = ("torch",)
    files: Mapping[str, Path] = field(default_factory=dict)
    gpus: int = 0
    gpu: str = ""
    fresh: bool = False


def is_place(on: str) -> bool:
    """Whether a text is `local`, `ray` or `ray://host:port`."""
    host, colon, port = on.removeprefix(CLIENT).rpartition(":")
    address = on.startswith(CLIENT) and bool(host and colon) and port.isdecimal()
    return on in (NAME, RAY) or address


def check_place(on: str) -> None:
    """Refuse what names no engine, before any work.

    Raises:
        EngineError: it is neither `local`, `ray` nor `ray://host:port`.
    """
    if not is_place(on):
        raise EngineError(on, "unknown place to run", PLACES)


def engine(
    on: str, work: Work, *, jobs: int | None, tell: Callable[[str], None] = lambda line: None
) -> Engine:
    """The engine of that name.

    Args:
        on: `local`, `ray` or `ray://host:port`.
        work: what will run.
        jobs: most tasks under way at once; 1 here and what the nodes can take on Ray by default.
        tell: is given a line about nodes that cannot serve or are gone.

    Raises:
        EngineError: there is no such engine.
    """
    check_place(on)
    if on == NAME:
        return Local(jobs or 1, work.preload)
    from archscope.engines.on_ray.nodes import Request, versions
    from archscope.engines.on_ray.tasks import OnRay

    request = Request(1, work.gpus, work.gpu, versions(work.packages), work.fresh)
    return OnRay(on, request, jobs, work.files, tell)
