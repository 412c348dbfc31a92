"""Many networks at once: sweeps over a design axis, and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope.api.answer import Answer, Checks
from archscope.api.asked import asked
from archscope.ask.network.allowance import allowing
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from os import PathLike

    from archscope.ask.budget.check import Outcome as Verdict
    from archscope.ask.groups.views import Equal, GroupSweep
    from archscope.ask.network.subject import Source
    from archscope.ask.sweep.grid import Outcome
    from archscope.ask.target import Input, Model
    from archscope.ask.verify.figures import Verification
    from archscope.records import Profile
    from archscope.saved.shards import ShardFile


@allowing
def sweep(
    network: Model | None = None,
    /,
    axes: Mapping[str, Sequence[Any]] | None = None,
    *,
    input: str | None = None,
    batch: int | None = None,
    backward: bool = False,
    jobs: int | None = None,
    on: str = "local",
    shard: str | None = None,
    journal: str | PathLike[str] | None = None,
    resume: bool = False,
    predict: str | None = None,
    model: str | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Outcome, ...]]:
    """Count a network for every combination of the given values.

    Args:
        network: a name as for `summary`, from which each point is built; or a saved record.
        axes: the values of each constructor keyword, of `"input"` or of `"batch"`.
        input: a specification, where it is not swept.
        batch: where it is not swept, 1 by default.
        backward: also count the backward pass.
        jobs: processes that count, 1 by default; most tasks at once on Ray. More than one process
            needs the usual `if __name__ == "__main__":` of a script.
        on: where points are counted: `"local"`, `"ray"`, or `"ray://host:10001"`.
        shard: `"3/8"` counts every eighth point, beginning with the third; see `merge`.
        journal: file that holds every point as soon as it is counted.
        resume: count only the points that the journal does not hold.
        predict: GPUs for which the time of a step is predicted, such as `"rtx4090:nhwc"`.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor at every point.

    Raises:
        ArchscopeError: the network is unknown, no point can be counted, or nothing can run there.

    Example:
        >>> sides = archscope.sweep("resnet18", {"input": ["3x160x160", "3x224x224"]})
        >>> sides.record[1].total.macs
        1814073344
    """
    from archscope.ask.sweep.grid import Grid, Outcome, run
    from archscope.ask.travel import counted
    from archscope.engines.place import engine
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.place import read_places
    from archscope.saved.journal import Journal
    from archscope.study.page import with_sweep_page
    from archscope.study.sweep import sweep_report, sweep_title

    if not axes:
        raise ArchscopeError("axes", "nothing to sweep", 'give one like {"groups": [1, 2]}')
    if resume and journal is None:
        raise ArchscopeError("resume", "needs a journal", "give the journal to resume")
    if predict is not None:
        read_places(predict)
    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    grid = Grid(
        chosen.name,
        tuple((key, tuple(values)) for key, values in axes.items()),
        tuple(chosen.keywords.items()),
        chosen.input_text,
        chosen.batch,
        backward,
        predict,
    )
    held, part = None, ALL if shard is None else parse_shard(shard)
    if journal is not None:
        identity = {**grid.identity, **part.identity}
        held = Journal(Path(journal), identity, resume=resume, key=grid.key)
        held.keep(Outcome.from_entry)
    with held or nullcontext(), engine(on, counted(grid.model), jobs=jobs) as place:
        outcomes = tuple(run(grid, engine=place, shard=part, journal=held))
    report = with_sweep_page(sweep_report(sweep_title(grid), outcomes), grid, outcomes)
    return Answer(outcomes, lambda: report)


def merge(*journals: str | PathLike[str]) -> Answer[Any]:
    """Join the journals of a run's shards to what one run over all of it would be.

    Args:
        journals: of the shards of a sweep, a sweep over group counts or a verification of every
            network, in any order.

    Returns:
        of a sweep its outcomes, of group counts a `GroupSweep`, of a verification those of the
        networks.

    Raises:
        ArchscopeError: a file is not the journal of such a run, two are of different runs or
            versions, or points are missing.

    Example:
        >>> for shard in ("1/2", "2/2"):
        ...     part = f"part-{shard[0]}.jsonl"
        ...     _ = archscope.sweep("lenet", {"batch": [1, 2]}, shard=shard, journal=part)
        >>> archscope.merge("part-1.jsonl", "part-2.jsonl").record[1].total.macs
        833040
    """
    from archscope.saved.shards import kind_of, read_files

    if not journals:
        raise ArchscopeError("journals", "nothing to merge", "name the shards' files")
    files = read_files([str(path) for path in journals])
    return _MERGED[kind_of(files, tuple(_MERGED))](files)


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


_MERGED = {"grid": _merged_sweep, "groups": _merged_groups, "verify": _merged_verification}
"""By what the first line of a journal calls its run."""


def sweep_groups(
    groups: Sequence[int],
    base: Model = "resnet50",
    *,
    by: str | None = None,
    equal: Sequence[Equal] = ("none", "macs", "params"),
    input: Input | None = None,
    batch: int | None = None,
    profiles: Sequence[Profile] = (),
    on: str = "local",
    shard: str | None = None,
    journal: str | PathLike[str] | None = None,
    resume: bool = False,
    predict: str | None = None,
    model: Source | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[GroupSweep]:
    """Count a network for each number of groups, at equal width, MACs and parameters.

    Args:
        groups: the counts, such as `[1, 2, 4, 8, 32]`.
        base: as for `summary`; it has a name.
        by: the keyword of the width that is solved for equal cost.
        equal: what is held equal: `"none"` (the width), `"macs"`, `"params"`.
        input: as for `summary`.
        batch: as for `summary`.
        profiles: measured times of some of the networks, to set beside the counts.
        on: where networks are counted: `"local"`, `"ray"`, or `"ray://host:10001"`.
        shard: `"3/8"` counts every eighth network, beginning with the third; see `merge`.
        journal: file that holds every network as soon as it is counted.
        resume: count only the networks that the journal does not hold.
        predict: GPUs for which the time of a step is predicted, such as `"rtx4090:nhwc"`.
        model: the network of a saved record that is the base, where its name is no library's.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the base cannot be counted, or no network of a view can be built.

    Example:
        >>> sweep = archscope.sweep_groups([1, 32], equal=["macs"]).record
        >>> [member.width for member in sweep.counted("macs")]  # ResNeXt-50 is 32x4d
        [64, 4]
    """
    from archscope.ask.groups.entries import Question, read
    from archscope.ask.groups.family import Family
    from archscope.ask.groups.sweep import swept
    from archscope.ask.groups.times import predicted
    from archscope.ask.profile.points import key
    from archscope.ask.travel import counted
    from archscope.engines.place import engine
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.place import read_places
    from archscope.saved.journal import Journal
    from archscope.study.groups import group_report

    network = asked(base, model, input=input, batch=batch, keywords=constructor_keywords)
    places = () if predict is None else read_places(predict)
    family = Family(network, by)
    counts, part = tuple(sorted(set(groups))), ALL if shard is None else parse_shard(shard)
    if resume and journal is None:
        raise ArchscopeError("resume", "needs a journal", "give the journal to resume")
    held = None
    if journal is not None:
        identity = {**Question.of(family, counts, equal).identity, **part.identity}
        held = Journal(Path(journal), identity, resume=resume, key=key([family.model]))
        held.keep(read)
    with held or nullcontext(), engine(on, counted(family.model), jobs=None) as place:
        found = swept(family, counts, equal, place, shard=part, journal=held)
    times = predicted(family, found, places)
    return Answer(found, lambda: group_report(found, list(profiles), predicted=times))


@allowing
def check(
    path: str | PathLike[str], *, allow_memory: int | str | None = None
) -> Checks[tuple[Verdict, ...]]:
    r"""Hold networks to the limits of a budget file; the answer is true where all are kept.

    Args:
        path: of a TOML file; see `archscope check --help`.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.

    Raises:
        ArchscopeError: the file is wrong, or a network cannot be counted.

    Example:
        >>> budget = pathlib.Path("budget.toml")
        >>> _ = budget.write_text('[[budget]]\nmodel = "lenet"\nmax_params = "62k"\n')
        >>> archscope.check(budget).passed
        True
    """
    from archscope.ask.budget import check as budgets
    from archscope.ask.budget.limits import load
    from archscope.study.budget import budget_report

    found = budgets.check(load(str(path)))
    return Checks(found, lambda: budget_report(found), all(one.passed for one in found))
