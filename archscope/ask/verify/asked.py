"""Which networks are verified: those that are named, or all; checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from archscope.ask.verify.figures import Verification
from archscope.engines.local import NAME as LOCAL
from archscope.engines.shard import Shard
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

ALL = parameter("all", True)


def require_named_or_all(names: Sequence[str], every: bool) -> None:
    """Refuse both and neither.

    Raises:
        ArchscopeError: naming what to leave out, or to give.
    """
    if every and names:
        raise ArchscopeError(ALL, "excludes named networks", f"leave out {names[0]} or {ALL}")
    if not (every or names):
        raise ArchscopeError("verify", f"needs networks or {ALL}", f"name networks, or give {ALL}")


def check_named(on: str, shard: Shard, journal: str | PathLike[str] | None, resume: bool) -> None:
    """Refuse what is for all networks beside those that are named.

    Raises:
        ArchscopeError: naming the first that was given.
    """
    of_all = {
        parameter("on", on): on != LOCAL,
        parameter("shard", shard): shard.count > 1,
        parameter("resume"): resume,
        parameter("journal"): journal is not None,
    }
    for option, given in of_all.items():
        if given:
            raise ArchscopeError(option, f"goes with {ALL}", "leave it out")


def check_all(
    input: object, batch: int | None, keywords: Mapping[str, Any], beside: object
) -> None:
    """Refuse what sets a network beside all of them.

    Raises:
        ArchscopeError: any of it was given.
    """
    if input is not None or batch is not None or keywords or beside is not None:
        raise ArchscopeError(
            ALL, "takes every network with its defaults", "name the network to change them"
        )


def passed(found: Iterable[Verification]) -> bool:
    """Whether every difference has a known reason."""
    return all(one.passed for one in found)
