"""`--on` and `--shard`: where a long run's points are counted, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from archscope.cli.options import Decorated
from archscope.cli.stderr import say

if TYPE_CHECKING:
    from archscope.engines.engine import Engine
    from archscope.engines.shard import Shard

BETWEEN_LINES = 30.0
"""Seconds between two lines of progress where no terminal shows a bar."""

Progress = Callable[[int, int], None]

on_option = click.option(
    "--on",
    default="local",
    show_default=True,
    metavar="PLACE",
    help="Where points run: local, ray, ray://host:10001.",
)


def _shard(context: click.Context, option: click.Parameter, text: str | None) -> Shard:
    from archscope.engines.shard import ALL, parse_shard

    return ALL if text is None else parse_shard(text)


shard_option = click.option(
    "--shard", metavar="I/N", callback=_shard, help="The Ith of N parts only; see archscope merge."
)


journal_option = click.option(
    "--journal", "journal_path", metavar="FILE", help="Where finished points are saved."
)
resume_option = click.option(
    "--resume", is_flag=True, help="Continue an interrupted run from its journal."
)


def long_run_options(command: Decorated) -> Decorated:
    """`--shard`, `--journal` and `--resume`."""
    return shard_option(journal_option(resume_option(command)))


@contextmanager
def progress(engine: Engine) -> Iterator[Progress]:
    """Points done, nodes and the time left: a bar on a terminal; elsewhere lines for a cluster."""
    if not sys.stderr.isatty():
        yield _Lines(engine) if engine.place else lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=engine.place
        )


class _Lines:
    """A line at the beginning, every half minute, and at the end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.began = self.reported = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        begins = self.first is None
        if self.first is None:
            self.first = done
        if not (begins or done == total or now - self.reported >= BETWEEN_LINES):
            return
        self.reported = now
        say(f"{done}/{total} points, {self.engine.place}{self._left(done, total, now)}")

    def _left(self, done: int, total: int, now: float) -> str:
        new = done - (self.first or 0)
        if not new or done == total:
            return ""
        from archscope.units import seconds

        return f", {seconds((now - self.began) / new * (total - done))} left"
