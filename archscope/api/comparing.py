"""Networks beside each other, beside their earlier selves, and beside what other tools count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from archscope.api.answer import Answer, Checks, remembering
from archscope.api.checked import require_least, require_one_of
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_targets, side_by_side
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    from os import PathLike

    from typing_extensions import Unpack

    from archscope.ask.contenders import Contender
    from archscope.ask.diff import Change
    from archscope.ask.network.subject import Source
    from archscope.ask.profile.compared import Timed
    from archscope.ask.profile.plan import PlanSettings
    from archscope.ask.target import Input, Model, Target
    from archscope.ask.verify.figures import Verification
    from archscope.engines.shard import Shard
    from archscope.resolve.published import Recipe
    from archscope.saved.record import Saved
    from archscope.study.compare import Layout
    from archscope.table import Report


@remembering
@allowing
@spelt
def compare(
    *models: Model,
    input: Input | None = None,
    batch: int | None = None,
    keywords: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
    labels: Sequence[str] | None = None,
    match: str | None = None,
    by: str | None = None,
    layout: Layout = "stages",
    predict: str | None = None,
    weights: Recipe = "V1",
    sort: str | None = None,
    top: int | None = None,
    strict: bool = False,
    time: bool = False,
    on: str = "local",
    gpu: str = "",
    shard: str | None = None,
    journal: str | PathLike[str] | None = None,
    resume: bool = False,
    allow_memory: int | str | None = None,
    **measuring: Unpack[PlanSettings],
) -> Answer[tuple[Contender, ...]]:
    """Networks side by side: totals with ratios, and where the differences are.

    Args:
        models: at least two, each as for `summary`, or a pattern of names, `"resnet*"`; a saved
            Profile brings its measured times.
        input: for all that are counted now; each one's default when `None`.
        batch: batch size of all that are counted now.
        keywords: passed to every constructor, or one mapping (or `None`) a model.
        labels: names to print, one a model.
        match: `"macs"`, `"params"` or `"activations"`: solve a keyword of the later models so that
            they equal the first in this.
        by: the keyword solved for; each network's width when `None`.
        layout: `"stages"`, or `"paper"` for the architecture table of the papers.
        predict: GPUs for which the time of a step is predicted, such as `"rtx4090"` or
            `"a100:training:nhwc,h100"`.
        weights: whose published accuracy is shown: torchvision's `"V1"` or `"V2"` recipe, or the
            `"best"` of each.
        sort: key of the column that orders the rows of one table, a row a network, largest first;
            `"-macs"` for the smallest first. More than four networks have that table in any case.
        top: print so many of the sorted networks.
        strict: raise where an operator has no formula and a count is a lower bound.
        time: measure the networks now, up to four in turns; the batch is 8 by default.
        on: where they are measured: `"local"`, `"ray"`, or `"ray://host:10001"`.
        gpu: on Ray, a GPU with this label, such as `"A100"`.
        shard: `"3/8"` measures every eighth network, beginning with the third; see `merge`.
        journal: file that holds every network as soon as it is measured, each by itself.
        resume: measure only the networks that the journal does not hold.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        measuring: how they are measured, as for `profile`: `device`, `threads`, `dtype`, `amp`,
            `channels_last`, `compile`, `cuda_graph`, `cold_l2`, `optimizer`, `train`, `eval`,
            `precision` and `max_seconds`.

    Raises:
        ArchscopeError: fewer than two models, one that cannot be counted, or another number of
            labels or keywords than of models; nothing to solve for `match`; an operator without a
            formula, if `strict`.

    Examples:
        >>> wide = [None, {"width_per_group": 128}]
        >>> pair = archscope.compare("resnet18", "resnet50", keywords=wide, labels=["a", "b"])
        >>> pair.record[1].label
        'b'
        >>> archscope.compare("lenet", "lenet5", time=True, device="cpu")  # doctest: +SKIP
    """
    from archscope.ask.contenders import contenders, matched, those_of_a_shard
    from archscope.ask.count import require_complete
    from archscope.ask.profile.refused import TIME, check_not_timed, check_shard, check_where
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.place import read_places
    from archscope.resolve.names import expanded
    from archscope.resolve.published import Recipe
    from archscope.study.compare import Layout, compare_report
    from archscope.study.compare.match import match_tables
    from archscope.study.compare.shard import shard_report
    from archscope.study.page import with_comparison_page

    require_one_of("layout", layout, get_args(Layout))
    require_one_of("weights", weights, get_args(Recipe))
    require_least("top", top, 1)
    models = tuple(expanded(models))
    targets = _targets(models, keywords, input, batch)
    part = ALL if shard is None else parse_shard(shard)
    check_shard(part, journal)
    targets, solved = matched(targets, match, by)
    measured = None
    if time:
        from archscope.ask.profile import compared

        shown = compared.shown(layout, weights, predict, solved)
        measured = _timed(targets, on, gpu, part, journal, resume, shown, measuring)
        targets = list(measured.targets)
    else:
        check_not_timed(on, part, journal, resume)
        check_where(time, on, gpu)
        for name, value in measuring.items():
            raise ArchscopeError(parameter(name, value), f"goes with {TIME}", f"add {TIME}")
    places = () if predict is None else read_places(predict)
    if part.count > 1:
        done = those_of_a_shard(targets, places, weights)
        return Answer(done, lambda: shard_report(len(done)))
    found = contenders(targets, places, weights)
    if measured is not None:
        found = tuple(map(measured.with_rounds, found))
    found = _labelled(found, labels, models)
    if strict:
        for one in found:
            require_complete(one.analysis)
    first = match_tables(solved)

    def made() -> Report:
        report = compare_report(found, layout=layout, first=first, sort=sort, top=top)
        return with_comparison_page(report, targets, found)

    return Answer(found, made)


def _timed(
    targets: Sequence[Target | Saved], on: str, gpu: str, shard: Shard,
    journal: str | PathLike[str] | None, resume: bool, shown: Mapping[str, Any],
    measuring: PlanSettings,
) -> Timed:  # fmt: skip
    """The networks of a comparison with the times that are measured now."""
    from archscope.ask.profile import compared
    from archscope.ask.profile.measuring import Measuring
    from archscope.ask.profile.plan import plan_of
    from archscope.ask.profile.refused import check_where
    from archscope.measure import silence_profiler

    check_where(True, on, gpu)
    silence_profiler()
    how = Measuring(plan_of(**measuring, on=on), on, gpu)
    run = compared.long_run("compare", compared.named(targets), how, shard, shown)
    with run.named_journal(journal, resume) as finished:
        return compared.timed(targets, how, shard, finished, alone=journal is not None)


def _targets(
    models: Sequence[Model],
    keywords: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None,
    input: Input | None,
    batch: int | None,
) -> list[Target | Saved]:
    """What is compared, each with its own keywords where there is one mapping a model."""
    if not isinstance(keywords, Sequence):
        return side_by_side(models, input=input, batch=batch, keywords=keywords)
    _one_each("keywords", keywords, models)
    return [
        side_by_side([model], input=input, batch=batch, keywords=own)[0]
        for model, own in zip(models, keywords, strict=True)
    ]


def _labelled(
    found: tuple[Contender, ...], labels: Sequence[str] | None, models: Sequence[Model]
) -> tuple[Contender, ...]:
    """The networks under the names to print."""
    if labels is None:
        return found
    _one_each("labels", labels, models)
    return tuple(replace(one, label=label) for one, label in zip(found, labels, strict=True))


def _one_each(argument: str, given: Sequence[object], models: Sequence[object]) -> None:
    if len(given) != len(models):
        problem = f"there are {len(given)} for {len(models)} models"
        raise ArchscopeError(argument, problem, "give one a model")


@remembering
@allowing
@spelt
def diff(
    old: Model,
    new: Model,
    *,
    input: Input | None = None,
    batch: int | None = None,
    allow_memory: int | str | None = None,
) -> Answer[tuple[Change, ...]]:
    """What changed from one network to another, layer by layer.

    Args:
        old: as for `summary`.
        new: as for `summary`.
        input: for those that are counted now.
        batch: for those that are counted now; of a record of several batches the one chosen.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.

    Raises:
        ArchscopeError: one cannot be counted or read.

    Examples:
        >>> archscope.diff("lenet", "lenet5").record[0].new.name
        'conv1'
    """
    from archscope.ask.diff import changes, counted
    from archscope.study.diff import diff_report

    pair = counted(old, new, input=input, batch=batch)
    return Answer(changes(*pair), lambda: diff_report(*pair))


@remembering
@allowing
@spelt
def verify(
    *models: Model, input: Input | None = None, batch: int | None = None,
    model: Source | None = None, all: bool = False, on: str = "local", shard: str | None = None,
    journal: str | PathLike[str] | None = None, resume: bool = False,
    allow_memory: int | str | None = None, **constructor_keywords: Any,
) -> Checks[tuple[Verification, ...]]:  # fmt: skip
    """Count networks with several tools, and explain where they differ.

    The answer is true where every difference has a known reason.

    Args:
        models: each as for `summary`.
        input: as for `summary`, for all of them.
        batch: as for `summary`, for all of them.
        model: the network of the saved records, where its name is not one of a library.
        all: verify every network of torchvision and timm, as it comes, in place of named ones.
        on: for `all`, where networks are counted: `"local"`, `"ray"`, or `"ray://host:10001"`.
        shard: for `all`, `"3/8"` takes every eighth network, beginning with the third; see `merge`.
        journal: for `all`, a file that holds every network as soon as it is counted.
        resume: for `all`, count only the networks that the journal does not hold.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to every constructor.

    Raises:
        ArchscopeError: no model, or one that cannot be counted; `all` beside what a named network
            takes, or what `all` takes beside named networks.

    Examples:
        >>> archscope.verify("lenet").passed
        True
    """
    from archscope.ask.profile.refused import check_shard
    from archscope.ask.verify import asked, verify
    from archscope.engines.place import engine
    from archscope.engines.shard import ALL, parse_shard
    from archscope.study.verify import overview_report, verify_report

    part = ALL if shard is None else parse_shard(shard)
    asked.require_named_or_all([str(one) for one in models], all)
    if not all:
        asked.check_named(on, part, journal, resume)
        targets = network_targets(
            models, input=input, batch=batch, keywords=constructor_keywords, beside=model
        )
        found = tuple(map(verify.verify, targets))
        return Checks(found, lambda: verify_report(found), asked.passed(found))
    asked.check_all(input, batch, constructor_keywords, model)
    check_shard(part, journal)
    with (
        verify.long_run(part).named_journal(journal, resume) as held,
        engine(on, verify.work(), jobs=None) as place,
    ):
        done, failures = verify.verify_each(
            verify.names_of(part), verify.verify_named, lambda line: None, held, place
        )
    every = tuple(done)
    return Checks(every, lambda: overview_report(every, failures), asked.passed(every))
