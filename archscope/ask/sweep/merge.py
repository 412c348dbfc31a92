"""The journals of a sweep's shards → all of its points, as if one run had counted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.ask.sweep.grid import Grid, Outcome, as_text
from archscope.errors import ArchscopeError
from archscope.saved.journal_lines import UNFINISHED
from archscope.saved.shards import Entry, Kind, ShardFile, joined, require_one_run

POINTS = Kind("sweep", lambda entry: tuple(sorted(entry["point"].items())), Outcome.from_entry)


def merged(files: Sequence[ShardFile]) -> tuple[Grid, list[Outcome]]:
    """Join the journals of shards, in any order; one of a whole sweep counts as all of them.

    Args:
        files: the journals.

    Returns:
        the sweep, and one outcome a point in the order of its grid.

    Raises:
        ArchscopeError: a file is not the journal of a sweep, two are of different sweeps, were
            counted with different versions or disagree, or points are missing.
    """
    grids = [_grid(file) for file in files]
    require_one_run(files, grids, POINTS.name)
    points = [as_text(point) for point in grids[0].points]
    entries = joined(files, [tuple(sorted(point)) for point in points], POINTS)
    return grids[0], [_outcome(e, point) for e, point in zip(entries, points, strict=True)]


def _grid(file: ShardFile) -> Grid:
    """With the file's name alone where a user's file holds the network: folders differ."""
    try:
        grid = Grid.from_identity(file.written.identity)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ArchscopeError(file.path, "is not the journal of a sweep", "name one") from None
    place, colon, name = grid.model.rpartition(":")
    return replace(grid, model=f"{place.rpartition('/')[2]}{colon}{name}")


def _outcome(entry: Entry, point: tuple[tuple[str, str], ...]) -> Outcome:
    return replace(Outcome.from_entry(entry), finished=not entry.get(UNFINISHED), point=point)
