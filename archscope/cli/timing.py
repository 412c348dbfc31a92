"""`--time`: measuring now, for the commands that set times beside counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.fleet import on_option
from archscope.cli.options import Decorated
from archscope.cli.stderr import say
from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import check_place
from archscope.errors import ArchscopeError
from archscope.inert import printable
from archscope.measure import silence_profiler

if TYPE_CHECKING:
    from archscope.engines.engine import Engine
    from archscope.measure.session import Plan, Progress
    from archscope.records import Profile


def timing_options(command: Decorated) -> Decorated:
    """`--time`, `--device`, and where: `--on` and `--gpu`."""
    device = click.option(
        "--device", metavar="NAME", help="For --time: cpu, cuda, mps; the fastest by default."
    )
    return device(time_options(command))


def time_options(command: Decorated) -> Decorated:
    """`--time`, and where: `--on` and `--gpu`."""
    timed = click.option(
        "--time", "timed", is_flag=True, help="Measure the named networks now, on a device."
    )
    gpu = click.option(
        "--gpu", default="", metavar="MODEL", help="For --on ray: a GPU with this label, as A100."
    )
    return timed(on_option(gpu(command)))


def timing_plan(
    timed: bool, device: str | None, on: str = "local", gpu: str = "", **chosen: Any
) -> Plan | None:
    """How to measure, `None` where nobody asked to.

    Args:
        timed: whether `--time` was given.
        device: what was given as `--device`.
        on: what was given as `--on`; the device of another machine is looked for there.
        gpu: what was given as `--gpu`.
        chosen: of Plan.

    Raises:
        ArchscopeError: a device without `--time`, or one that is not there.
    """
    check_where(timed, on, gpu)
    if not timed:
        if device is not None:
            raise ArchscopeError("--device", "goes with --time", "add --time")
        return None
    silence_profiler()
    from archscope.measure import device as devices
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.saved import answers

    if on != LOCAL:
        from archscope.ask.profile.there import ANY

        return Plan(Settings(device=device or ANY), chosen=device is not None, **chosen)
    name = device or devices.best()
    devices.find(name)
    return Plan(Settings(device=name), roofs=answers.roofs(), chosen=device is not None, **chosen)


def check_where(timed: bool, on: str, gpu: str) -> None:
    """Refuse a place or a GPU that goes with nothing.

    Args:
        timed: whether `--time` was given.
        on: what was given as `--on`.
        gpu: what was given as `--gpu`.

    Raises:
        ArchscopeError: no such place, or a GPU for a measurement here or for none.
    """
    check_place(on)
    if gpu and on == LOCAL:
        raise ArchscopeError(f"--gpu {gpu}", "goes with --on ray", "use --device here")
    if gpu and not timed:
        raise ArchscopeError(f"--gpu {gpu}", "goes with --time", "add --time")


@contextmanager
def gpu_engine(
    names: Sequence[str], plan: Plan, on: str, gpu: str, how: str = "in turns on one of"
) -> Iterator[Engine]:
    """An engine whose tasks have a GPU and a process of their own, for networks of these names.

    Raises:
        ArchscopeError: no node can serve.
    """
    from archscope.ask.profile.there import work
    from archscope.engines.place import engine

    with engine(on, work(names, plan, gpu), jobs=None, tell=say) as place:
        say(f"measuring {', '.join(names)} {how} {place.place}")
        yield place


def _silent(label: str, share: float) -> None:
    """No progress."""


@contextmanager
def progress_bars(otherwise: Progress = _silent) -> Iterator[Progress]:
    """A bar for each number being measured, on stderr, where that is a terminal."""
    stream = sys.stderr
    if not stream.isatty():
        yield otherwise
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(file=stream), transient=True) as bars:
        task = bars.add_task("preparing", total=1.0)

        def show(label: str, share: float) -> None:
            bars.update(task, description=printable(f"measuring {label}"), completed=share)

        yield show


def leave_if_interrupted(profiles: Sequence[Profile]) -> None:
    """End as Ctrl-C does, after what was measured by then is shown."""
    if any(profile.interrupted for profile in profiles):
        raise KeyboardInterrupt
