"""The journals of a run's shards → an entry for each of its points, as if one run had written them.

It knows what an entry was decided by, and nothing of what was counted or measured.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from archscope.engines.shard import Shard
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.saved.journal_lines import ADDRESS, KEY, UNFINISHED, VERSIONS, Written, read

MOST_NAMED = 6
"""How many shards a message names."""

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class ShardFile:
    """The journal of one shard, or of a whole run.

    Args:
        path: as the user named it.
        written: what it holds.
    """

    path: str
    written: Written

    @property
    def run(self) -> dict[str, Any]:
        """What was run, whichever of its shards this is."""
        return {key: value for key, value in self.written.identity.items() if key != "shard"}

    @property
    def shards(self) -> int:
        """In how many the run was divided."""
        return Shard(*self.written.identity.get("shard", (1, 1))).count


@dataclass(frozen=True)
class Kind:
    """What the points of a run are, and how its entries are read.

    Args:
        name: what a message calls the run, such as `sweep`.
        point: of an entry.
        check: raises a ValueError for a damaged entry.
        repeated: whether two runs of one point may differ, as times do; the first is taken then.
        free: versions in which points may differ, which the answer says then.
    """

    name: str
    point: Callable[[Entry], Hashable]
    check: Callable[[dict[str, Any]], object]
    repeated: bool = False
    free: frozenset[str] = frozenset()


def read_files(paths: Sequence[str]) -> list[ShardFile]:
    """Read the journals of a run's shards.

    Raises:
        ArchscopeError: a file cannot be read, or is no journal.
    """
    return [ShardFile(path, read(path)) for path in paths]


@contextmanager
def refusing_damage(files: Sequence[ShardFile]) -> Iterator[None]:
    """Refuse journals that hold what archscope never writes, in any of their fields.

    Raises:
        ArchscopeError: naming the files.
    """
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError,
            ValueError) as error:  # fmt: skip
        paths = ", ".join(file.path for file in files)
        problem = f"are not valid journals ({type(error).__name__}: {error})"
        raise ArchscopeError(paths, problem, "run their shards again") from error


def kind_of(files: Sequence[ShardFile], kinds: Sequence[str]) -> str:
    """What the first line of the journals calls their run.

    Args:
        files: of the shards.
        kinds: that can be merged.

    Raises:
        ArchscopeError: a file is of another kind, or of another one than the first.
    """
    found = [next((kind for kind in kinds if kind in file.run), "") for file in files]
    for file, kind in zip(files, found, strict=True):
        if not kind:
            raise ArchscopeError(file.path, "is not the journal of a run in shards", "name one")
        if kind != found[0]:
            problem = f"is of another kind of run than {files[0].path}"
            raise ArchscopeError(file.path, problem, "merge each run on its own")
    return found[0]


def require_one_run(files: Sequence[ShardFile], runs: Sequence[object], kind: str) -> None:
    """Refuse the shards of different runs.

    Args:
        files: of the shards.
        runs: what each is of, without what may differ between machines.
        kind: what a message calls the run.

    Raises:
        ArchscopeError: naming the first file of another run.
    """
    for file, run in zip(files, runs, strict=True):
        if run != runs[0]:
            raise ArchscopeError(
                file.path, f"is of another {kind} than {files[0].path}",
                f"merge each {kind} on its own",
            )  # fmt: skip


def joined(files: Sequence[ShardFile], points: Sequence[Hashable], kind: Kind) -> list[Entry]:
    """One entry a point, in their order; one that is finished comes before one that is not.

    Args:
        files: of one run, in any order.
        points: of the run, the shards take turns in this order.
        kind: what the points are.

    Raises:
        ArchscopeError: an entry is damaged, two were decided by different versions or disagree, or
            points are missing.
    """
    found: dict[Hashable, tuple[Entry, str]] = {}
    versions: tuple[Mapping[str, str], str] | None = None
    for file in files:
        for entry in file.written.entries:
            own = _versions(entry, file.path)
            versions = versions or (own, file.path)
            _require_same(own, file.path, *versions, kind.free)
            _check(entry, file.path, kind)
            _add(found, entry, file.path, kind)
    missing = [index for index, point in enumerate(points) if point not in found]
    if missing:
        raise _incomplete(missing, len(points), files[0].shards)
    return [found[point][0] for point in points]


def _versions(entry: Entry, path: str) -> Mapping[str, str]:
    versions = entry.get(VERSIONS)
    if not isinstance(versions, dict):
        raise ArchscopeError(path, "does not say what decided its points", "run its shard again")
    return versions


def _check(entry: dict[str, Any], path: str, kind: Kind) -> None:
    try:
        kind.check(entry)
    except ValueError as error:
        raise ArchscopeError(
            path, f"has a damaged entry ({error})", "run its shard again"
        ) from None


def _add(found: dict[Hashable, tuple[Entry, str]], entry: Entry, path: str, kind: Kind) -> None:
    point = kind.point(entry)
    known = found.get(point)
    if known is None or known[0].get(UNFINISHED):
        found[point] = entry, path
        return
    if entry.get(UNFINISHED) or kind.repeated or _answer(entry) == _answer(known[0]):
        return
    named = point if isinstance(point, str) else ", ".join(map(_named, _parts(point)))
    raise ArchscopeError(path, f"differs from {known[1]} at {named}", "run both again")


def _answer(entry: Entry) -> dict[str, Any]:
    """An entry without what decided it, which machines may say differently."""
    return {k: v for k, v in entry.items() if k not in (KEY, ADDRESS, VERSIONS, UNFINISHED)}


def _parts(point: Hashable) -> tuple[Any, ...]:
    return point if isinstance(point, tuple) else (point,)


def _named(part: Any) -> str:
    return f"{part[0]}={part[1]}" if isinstance(part, tuple) and len(part) == 2 else str(part)


def _require_same(
    versions: Mapping[str, str], path: str, others: Mapping[str, str], other: str,
    free: frozenset[str],
) -> None:  # fmt: skip
    """Refuse what was decided by other versions."""
    for name in sorted({*versions, *others} - free):
        mine, theirs = versions.get(name, "missing"), others.get(name, "missing")
        if mine != theirs:
            raise ArchscopeError(
                path, f"was counted with {name} {mine}, and {other} with {theirs}",
                "run it again with the same",
            )  # fmt: skip


def _incomplete(missing: Sequence[int], total: int, count: int) -> ArchscopeError:
    """Which shards to run before the files can be merged."""
    shards = sorted({index % count + 1 for index in missing})
    named = ", ".join(f"{number}/{count}" for number in shards[:MOST_NAMED])
    more = f" and {len(shards) - MOST_NAMED} more" if len(shards) > MOST_NAMED else ""
    if count == 1:
        remedy = f"run it again with {parameter('resume')}"
    else:
        remedy = f"run {parameter('shard', named)}{more}"
    return ArchscopeError("merge", f"{len(missing)} of {total} points are missing", remedy)
