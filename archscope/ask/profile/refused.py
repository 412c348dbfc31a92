"""What goes with measuring alone, and what measurements need; all of it checked before any work."""

from __future__ import annotations

from os import PathLike

from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import check_place
from archscope.engines.shard import Shard
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

TIME = parameter("time", True)


def check_not_timed(
    on: str, shard: Shard, journal: str | PathLike[str] | None, resume: bool
) -> None:
    """Refuse what decides only how a comparison is measured, where nothing is.

    Args:
        on: where.
        shard: which of the networks.
        journal: file that holds what is measured.
        resume: whether to continue from it.

    Raises:
        ArchscopeError: naming the first that was given.
    """
    given = {
        parameter("journal"): journal is not None,
        parameter("resume"): resume,
        parameter("shard", shard): shard.count > 1,
        parameter("on", on): on != LOCAL,
    }
    for option, is_given in given.items():
        if is_given:
            raise ArchscopeError(option, f"goes with {TIME}", f"add {TIME}")


def check_not_fitted(
    gpu: str, shard: Shard, journal: str | PathLike[str] | None, resume: bool
) -> None:
    """Refuse what decides only how networks are measured for a fit, where none is.

    Raises:
        ArchscopeError: naming the first that was given.
    """
    given = {
        parameter("gpu", gpu): bool(gpu),
        parameter("shard", shard): shard.count > 1,
        parameter("journal", journal or ""): journal is not None,
        parameter("resume"): resume,
    }
    for option, is_given in given.items():
        if is_given:
            goes_with = f"goes with {parameter('fit', True)} and networks to measure"
            raise ArchscopeError(option, goes_with, "leave it out")


def check_shard(shard: Shard, journal: str | PathLike[str] | None) -> None:
    """Refuse one part of a run whose results nobody could find again.

    Args:
        shard: the part.
        journal: file that holds its results.

    Raises:
        ArchscopeError: it has no journal.
    """
    if shard.count > 1 and journal is None:
        raise ArchscopeError(
            parameter("shard", shard), "its points need a file for archscope merge",
            f"add {parameter('journal', f'part-{shard.number}.jsonl')}",
        )  # fmt: skip


def check_where(timed: bool, on: str, gpu: str) -> None:
    """Refuse a place or a GPU that goes with nothing.

    Args:
        timed: whether anything is measured.
        on: what was given as `on`.
        gpu: what was given as `gpu`.

    Raises:
        ArchscopeError: no such place, or a GPU for a measurement here or for none.
    """
    check_place(on)
    if gpu and on == LOCAL:
        raise ArchscopeError(
            parameter("gpu", gpu), f"goes with {parameter('on', 'ray')}",
            f"use {parameter('device')} here",
        )  # fmt: skip
    if gpu and not timed:
        raise ArchscopeError(parameter("gpu", gpu), f"goes with {TIME}", f"add {TIME}")
