"""`--time`: measuring now, for the commands that set times beside counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from archscope.cli.fleet import on_option
from archscope.cli.options import Decorated
from archscope.cli.stderr import say
from archscope.inert import printable

if TYPE_CHECKING:
    from archscope.ask.profile.measuring import Feedback
    from archscope.measure.session import Progress


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


def feedback() -> Feedback:
    """Lines and bars on stderr."""
    from archscope.ask.profile.measuring import Feedback

    return Feedback(say, progress_bars)
