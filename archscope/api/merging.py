"""The shards of a long run joined to what one run would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from archscope.api.answer import Answer, remembering
from archscope.api.fitted import Fitted, warn_left_out
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from os import PathLike

    from archscope.ask.contenders import Contender
    from archscope.ask.groups.views import GroupSweep
    from archscope.ask.sweep.grid import Outcome
    from archscope.ask.verify.figures import Verification
    from archscope.latency.calibration import Calibrated
    from archscope.saved.shards import ShardFile

    Merged: TypeAlias = (
        tuple[Outcome, ...]
        | GroupSweep
        | tuple[Contender, ...]
        | tuple[Verification, ...]
        | Calibrated
    )


@remembering
def merge(*journals: str | PathLike[str]) -> Answer[Merged]:
    """Join the journals of a run's shards to what one run over all of it would be.

    Args:
        journals: of the shards of a sweep, a sweep over group counts, a measured comparison, a
            verification of every network or a fit, in any order.

    Returns:
        of a sweep its outcomes, of group counts a `GroupSweep`, of a comparison its networks, of a
        verification those of the networks, of a fit the device, which saves as a device file.

    Raises:
        ArchscopeError: a file is not the journal of such a run, two are of different runs or
            versions, or points are missing.

    Examples:
        >>> for shard in ("1/2", "2/2"):
        ...     part = f"part-{shard[0]}.jsonl"
        ...     _ = archscope.sweep("lenet", {"batch": [1, 2]}, shard=shard, journal=part)
        >>> archscope.merge("part-1.jsonl", "part-2.jsonl").record[1].total.macs
        833040
    """
    from archscope.saved.shards import kind_of, read_files, refusing_damage

    if not journals:
        raise ArchscopeError("journals", "nothing to merge", "name the shards' files")
    files = read_files([str(path) for path in journals])
    merged = _MERGED[kind_of(files, tuple(_MERGED))]
    with refusing_damage(files):
        return merged(files)


def _merged_sweep(files: Sequence[ShardFile]) -> Answer[tuple[Outcome, ...]]:
    from archscope.ask.sweep.merge import merged
    from archscope.study.page import with_sweep_page
    from archscope.study.sweep import sweep_report, sweep_title

    grid, outcomes = merged(files)
    report = with_sweep_page(sweep_report(sweep_title(grid), outcomes), grid, outcomes)
    return Answer(tuple(outcomes), lambda: report)


def _merged_groups(files: Sequence[ShardFile]) -> Answer[GroupSweep]:
    from archscope.ask.groups.merge import merged
    from archscope.study.groups import group_report

    found, profiles = merged(files)
    return Answer(found, lambda: group_report(found, profiles))


def _merged_verification(files: Sequence[ShardFile]) -> Answer[tuple[Verification, ...]]:
    from archscope.ask.verify.merge import merged
    from archscope.study.verify import overview_report

    found, failures = merged(files)
    return Answer(tuple(found), lambda: overview_report(found, failures))


def _merged_comparison(files: Sequence[ShardFile]) -> Answer[tuple[Contender, ...]]:
    from archscope.ask.contenders import contenders
    from archscope.ask.match import Solved
    from archscope.ask.profile.points import merged
    from archscope.latency.place import read_places
    from archscope.saved.record import Saved
    from archscope.study.compare import compare_report
    from archscope.study.compare.match import match_tables

    run, profiles = merged(files, "compare")
    first = match_tables(Solved.from_identity(run["match"]) if "match" in run else None)
    places = () if run["predicted"] is None else read_places(run["predicted"])
    targets = [Saved(profile.model, profile) for profile in profiles]
    found = contenders(targets, places, run["weights"])
    return Answer(found, lambda: compare_report(found, layout=run["layout"], first=first))


def _merged_fit(files: Sequence[ShardFile]) -> Fitted:
    from archscope.ask.fit import fitted, merged
    from archscope.study.predict.fitted import fit_report

    runs, failures = merged(files)
    for failure in failures:
        warn_left_out(failure)
    found = fitted(runs, None)
    return Fitted(found, lambda: fit_report(found))


_MERGED: Mapping[str, Callable[[Sequence[ShardFile]], Answer[Merged]]] = {
    "grid": _merged_sweep,
    "groups": _merged_groups,
    "verify": _merged_verification,
    "compare": _merged_comparison,
    "fit": _merged_fit,
}
"""By what the first line of a journal calls its run."""
