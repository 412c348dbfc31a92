"""Many networks at once: sweeps over a design axis, and budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from archscope.api.answer import Answer, Checks, remembering
from archscope.api.asked import asked
from archscope.api.checked import require_least, require_one_of
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Profile

if TYPE_CHECKING:
    from os import PathLike

    from archscope.ask.budget.check import Outcome as Verdict
    from archscope.ask.groups.views import Equal, GroupSweep
    from archscope.ask.network.subject import Source
    from archscope.ask.profile.measuring import Measuring
    from archscope.ask.sweep.grid import Outcome
    from archscope.ask.target import Input, Model


@remembering
@allowing
@spelt
def sweep(
    network: Model | None = None,
    /,
    axes: Mapping[str, Sequence[object]] | None = None,
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

    Examples:
        >>> sides = archscope.sweep("resnet18", {"input": ["3x160x160", "3x224x224"]})
        >>> sides.record[1].total.macs
        1814073344
    """
    from archscope.ask.sweep.grid import Grid, long_run, run
    from archscope.ask.travel import counted
    from archscope.engines.place import engine
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.place import read_places
    from archscope.study.page import with_sweep_page
    from archscope.study.sweep import sweep_report, sweep_title

    if not axes:
        remedy = _as_axes(network, {"input": input, "batch": batch, **constructor_keywords})
        raise ArchscopeError("axes", "nothing to sweep", remedy)
    read = _read_axes(axes)
    require_least("jobs", jobs, 1)
    if predict is not None:
        read_places(predict)
    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    grid = Grid(
        chosen.name,
        read,
        tuple(chosen.keywords.items()),
        chosen.input_text,
        chosen.batch,
        backward,
        predict,
    )
    part = ALL if shard is None else parse_shard(shard)
    with (
        long_run(grid, part).named_journal(journal, resume) as held,
        engine(on, counted(grid.model), jobs=jobs) as place,
    ):
        outcomes = tuple(run(grid, engine=place, shard=part, journal=held))
    report = with_sweep_page(sweep_report(sweep_title(grid), outcomes), grid, outcomes)
    return Answer(outcomes, lambda: report)


Axes: TypeAlias = tuple[tuple[str, tuple[object, ...]], ...]


def _read_axes(axes: object) -> Axes:
    """The keys with their values.

    Raises:
        ArchscopeError: a key has no list of values, or an empty one.
    """
    like = 'give one like {"groups": [1, 2]}'
    if not isinstance(axes, Mapping) or not all(map(_is_listed, axes.values())):
        raise ArchscopeError("axes", "an axis has no list of values", like)
    read = tuple((key, tuple(values)) for key, values in axes.items())
    for key, values in read:
        if not values:
            raise ArchscopeError("axes", f"{key} has an empty list of values", like)
    return read


def _as_axes(network: object, keywords: Mapping[str, object]) -> str:
    """The call that sweeps over what was given as lists; an example where nothing was."""
    lists = {key: value for key, value in keywords.items() if isinstance(value, (list, range))}
    if not lists:
        return 'give one like {"groups": [1, 2]}'
    name = f'"{network}"' if isinstance(network, str) else "network"
    axes = ", ".join(f'"{key}": {list(values)!r}' for key, values in lists.items())
    return f"write sweep({name}, {{{axes}}})"


def _groups_text(groups: object) -> str:
    """Group counts as the command line takes them.

    Raises:
        ArchscopeError: it is no list of any.
    """
    if isinstance(groups, str):
        return groups
    if not isinstance(groups, Iterable):
        example = f"[{groups}]" if isinstance(groups, int) else "[1, 2, 4]"
        problem = "is not a list of counts"
        raise ArchscopeError(parameter("groups", groups), problem, f"give one such as {example}")
    counts = ",".join(map(str, groups))
    if not counts:
        raise ArchscopeError("groups", "no group count is given", "give some such as [1, 2, 4]")
    return counts


def _is_listed(values: object) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str)


def _views(equal: Equal | Sequence[Equal]) -> Sequence[Equal]:
    """What is held equal, once it is known.

    Raises:
        ArchscopeError: nothing, or something else.
    """
    from archscope.ask.groups.views import EQUALS

    views: Sequence[Equal] = [equal] if isinstance(equal, str) else equal
    for view in views:
        require_one_of("equal", view, EQUALS)
    if not views:
        raise ArchscopeError("equal", "an empty list", f"give some of {', '.join(EQUALS)}")
    return views


@remembering
@allowing
@spelt
def sweep_groups(
    groups: Sequence[int] | str,
    base: Model = "resnet50",
    *,
    by: str | None = None,
    equal: Equal | Sequence[Equal] = ("none", "macs", "params"),
    input: Input | None = None,
    batch: int | None = None,
    profiles: Sequence[str | PathLike[str] | Profile] = (),
    time: bool = False,
    device: str | None = None,
    on: str = "local",
    gpu: str = "",
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
        equal: what is held equal: `"none"` (the width), `"macs"`, `"params"`, or several of them.
        input: as for `summary`.
        batch: as for `summary`.
        profiles: measured times of some of the networks, or their files, to set beside the counts.
        time: measure a training step of every network now; the batch is 8 by default.
        device: where they are measured: `cpu`, `cuda`, `mps`; the fastest when `None`.
        on: where networks are counted and measured: `"local"`, `"ray"`, or `"ray://host:10001"`.
        gpu: on Ray, a GPU with this label, such as `"A100"`, to measure on.
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

    Examples:
        >>> sweep = archscope.sweep_groups([1, 32], equal=["macs"]).record
        >>> [member.width for member in sweep.counted("macs")]  # ResNeXt-50 is 32x4d
        [64, 4]
    """
    from archscope.ask.groups import times
    from archscope.ask.groups.entries import long_run
    from archscope.ask.groups.family import Family, check_base
    from archscope.ask.groups.sweep import swept
    from archscope.ask.groups.views import parse_groups
    from archscope.ask.profile.points import require_finished
    from archscope.ask.travel import counted
    from archscope.engines.place import engine
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.place import read_places
    from archscope.study.groups import group_report, unused_notes

    views = _views(equal)
    how = _measuring(time, device, on, gpu)
    check_base(base, model)
    network = asked(base, model, input=input, batch=batch, keywords=constructor_keywords)
    saved = [times.measured_before(profile, network.batch) for profile in profiles]
    if how is not None:
        network = replace(network, batch=times.batch_measured(network.batch))
    places = () if predict is None else read_places(predict)
    family = Family(network, by)
    counts = parse_groups(_groups_text(groups))
    part = ALL if shard is None else parse_shard(shard)
    with long_run(family, counts, views, part).named_journal(journal, resume) as held:
        with engine(on, counted(family.model), jobs=None) as place:
            found = swept(family, counts, views, place, shard=part, journal=held)
        now = [] if how is None else times.timed(family, found, how, held)
    require_finished(now)
    names = [
        profile.model if isinstance(profile, Profile) else str(profile) for profile in profiles
    ]
    notes = unused_notes(found, names, saved)
    steps = times.predicted(family, found, places)
    return Answer(found, lambda: group_report(found, [*now, *saved], notes, steps))


def _measuring(time: bool, device: str | None, on: str, gpu: str) -> Measuring | None:
    """How networks are measured; `None` where nobody asked to."""
    from archscope.ask.profile.refused import TIME, check_where

    check_where(time, on, gpu)
    if not time:
        if device is not None:
            raise ArchscopeError(parameter("device", device), f"goes with {TIME}", f"add {TIME}")
        return None
    from archscope.ask.profile.measuring import Measuring
    from archscope.ask.profile.plan import plan_of
    from archscope.measure import silence_profiler

    silence_profiler()
    return Measuring(plan_of(device=device, on=on, train=True), on, gpu)


@remembering
@allowing
@spelt
def check(
    path: str | PathLike[str], *, models: Sequence[str] = (), allow_memory: int | str | None = None
) -> Checks[tuple[Verdict, ...]]:
    r"""Hold networks to the limits of a budget file; the answer is true where all are met.

    Args:
        path: of a TOML file; see `archscope check --help`.
        models: networks of a budget that are code, such as `"nets.py:Net"`: a file runs none that
            is not named here.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.

    Raises:
        ArchscopeError: the file is wrong, or a network cannot be counted.

    Examples:
        >>> budget = pathlib.Path("budget.toml")
        >>> _ = budget.write_text('[[budget]]\nmodel = "lenet"\nmax_params = "62k"\n')
        >>> archscope.check(budget).passed
        True
    """
    from archscope.ask.budget import check as budgets
    from archscope.ask.budget.limits import load
    from archscope.study.budget import budget_report

    found = budgets.check(load(str(path)), models)
    return Checks(found, lambda: budget_report(found), all(one.passed for one in found))
