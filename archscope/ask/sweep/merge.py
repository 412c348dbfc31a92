"""The journals of a sweep's shards → all of its points, as if one run had counted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archscope.ask.sweep.grid import Grid, Outcome, as_text
from archscope.ask.sweep.shard import Shard
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.saved.journal import UNFINISHED, Written, read

MOST_NAMED = 6
"""How many shards a message names."""


@dataclass(frozen=True)
class _File:
    """The journal of one shard.

    Args:
        path: as the user named it.
        grid: the sweep that it is of, with the file's name alone where a user's file holds the
            network: machines keep it in different folders.
        written: what it holds.
    """

    path: str
    grid: Grid
    written: Written


def merged(paths: Sequence[str]) -> tuple[Grid, list[Outcome]]:
    """Join the journals of shards, in any order; one of a whole sweep counts as all of them.

    Args:
        paths: of the journals.

    Returns:
        the sweep, and one outcome a point in the order of its grid.

    Raises:
        ArchscopeError: a file is not the journal of a sweep, two are of different sweeps, were
            counted with different versions or disagree, or points are missing.
    """
    files = [_file(path) for path in paths]
    first = files[0]
    found: dict[tuple[tuple[str, str], ...], tuple[Outcome, str]] = {}
    versions: tuple[Mapping[str, str], str] | None = None
    for file in files:
        if file.grid != first.grid:
            raise ArchscopeError(
                file.path, f"is of another sweep than {first.path}", "merge each sweep on its own"
            )
        for entry in file.written.entries:
            own = _versions(entry, file.path)
            versions = versions or (own, file.path)
            _require_same(own, file.path, *versions)
            _add(found, _outcome(entry, file.path), file.path)
    points = [as_text(point) for point in first.grid.points]
    keys = [tuple(sorted(point)) for point in points]
    missing = [index for index, key in enumerate(keys) if key not in found]
    if missing:
        raise _incomplete(missing, len(keys), files)
    pairs = zip(keys, points, strict=True)
    return first.grid, [replace(found[key][0], point=point) for key, point in pairs]


def _file(path: str) -> _File:
    written = read(path)
    try:
        grid = Grid.from_identity(written.identity)
    except (KeyError, TypeError, ValueError):
        raise ArchscopeError(path, "is not the journal of a sweep", "name one") from None
    place, colon, name = grid.model.rpartition(":")
    return _File(path, replace(grid, model=f"{place.rpartition('/')[2]}{colon}{name}"), written)


def _versions(entry: Mapping[str, Any], path: str) -> Mapping[str, str]:
    versions = entry.get("versions")
    if not isinstance(versions, dict):
        raise ArchscopeError(path, "does not say what counted its points", "run its shard again")
    return versions


def _outcome(entry: Mapping[str, Any], path: str) -> Outcome:
    try:
        return replace(Outcome.from_entry(entry), finished=not entry.get(UNFINISHED))
    except ValueError as error:
        raise ArchscopeError(
            path, f"has a damaged entry ({error})", "run its shard again"
        ) from None


def _add(
    found: dict[tuple[tuple[str, str], ...], tuple[Outcome, str]], outcome: Outcome, path: str
) -> None:
    """Take an outcome; one that is finished stays, and comes before one that is not."""
    key = tuple(sorted(outcome.point))
    known = found.get(key)
    if known is None or not known[0].finished:
        found[key] = outcome, path
    elif outcome.finished and outcome != known[0]:
        point = ", ".join(f"{name}={value}" for name, value in outcome.point)
        raise ArchscopeError(path, f"differs from {known[1]} at {point}", "run both again")


def _require_same(
    versions: Mapping[str, str], path: str, others: Mapping[str, str], other: str
) -> None:
    """Refuse what was counted by other versions."""
    for name in sorted({*versions, *others}):
        mine, theirs = versions.get(name, "missing"), others.get(name, "missing")
        if mine != theirs:
            raise ArchscopeError(
                path, f"was counted with {name} {mine}, and {other} with {theirs}",
                "run it again with the same",
            )  # fmt: skip


def _incomplete(missing: Sequence[int], total: int, files: Sequence[_File]) -> ArchscopeError:
    """Which shards to run before the files can be merged."""
    count = Shard(*files[0].written.identity.get("shard", (1, 1))).count
    shards = sorted({index % count + 1 for index in missing})
    named = ", ".join(f"{number}/{count}" for number in shards[:MOST_NAMED])
    more = f" and {len(shards) - MOST_NAMED} more" if len(shards) > MOST_NAMED else ""
    if count == 1:
        remedy = f"run the sweep again with {parameter('resume')}"
    else:
        remedy = f"run {parameter('shard', named)}{more}"
    return ArchscopeError("merge", f"{len(missing)} of {total} points are missing", remedy)
