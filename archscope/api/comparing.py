"""Networks beside each other, beside their earlier selves, and beside what other tools count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.api.answer import Answer, Checks
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_targets, side_by_side
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender
    from archscope.ask.diff import Change
    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model
    from archscope.ask.verify.figures import Verification
    from archscope.resolve.published import Recipe
    from archscope.study.compare import Layout
    from archscope.table import Report, Table


@allowing
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
    allow_memory: int | str | None = None,
) -> Answer[tuple[Contender, ...]]:
    """Networks side by side: totals with ratios, and where the differences are.

    Args:
        models: at least two, each as for `summary`; a saved Profile brings its measured times.
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
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.

    Raises:
        ArchscopeError: fewer than two models, one that cannot be counted, or another number of
            labels or keywords than of models; nothing to solve for `match`; an operator without a
            formula, if `strict`.

    Example:
        >>> wide = [None, {"width_per_group": 128}]
        >>> pair = archscope.compare("resnet18", "resnet50", keywords=wide, labels=["a", "b"])
        >>> pair.record[1].label
        'b'
    """
    from archscope.ask.contenders import contenders, matched
    from archscope.ask.count import require_complete
    from archscope.latency.place import read_places
    from archscope.study.compare import compare_report
    from archscope.study.page import with_comparison_page

    if isinstance(keywords, Sequence):
        _one_each("keywords", keywords, models)
        targets = [
            side_by_side([model], input=input, batch=batch, keywords=own)[0]
            for model, own in zip(models, keywords, strict=True)
        ]
    else:
        targets = side_by_side(models, input=input, batch=batch, keywords=keywords)
    first: tuple[Table, ...] = ()
    if match is not None:
        from archscope.quantities import MATCHED
        from archscope.study.compare.match import match_table

        if match not in MATCHED:
            known = f"use one of {', '.join(MATCHED)}"
            raise ArchscopeError(parameter("match", match), "cannot be matched", known)
        targets, solved = matched(targets, MATCHED[match], by)
        first = (match_table(solved),)
    elif by is not None:
        raise ArchscopeError(parameter("by"), "goes with match", "give match as well")
    places = () if predict is None else read_places(predict)
    found = contenders(targets, places, weights)
    if labels is not None:
        _one_each("labels", labels, models)
        found = tuple(replace(one, label=label) for one, label in zip(found, labels, strict=True))

    if strict:
        for one in found:
            require_complete(one.analysis)

    def made() -> Report:
        report = compare_report(found, layout=layout, first=first, sort=sort, top=top)
        return with_comparison_page(report, targets, found)

    return Answer(found, made)


def _one_each(argument: str, given: Sequence[object], models: Sequence[object]) -> None:
    if len(given) != len(models):
        problem = f"there are {len(given)} for {len(models)} models"
        raise ArchscopeError(argument, problem, "give one a model")


@allowing
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

    Example:
        >>> archscope.diff("lenet", "lenet5").record[0].new.name
        'conv1'
    """
    from archscope.ask.diff import changes, counted
    from archscope.study.diff import diff_report

    pair = counted(old, new, input=input, batch=batch)
    return Answer(changes(*pair), lambda: diff_report(*pair))


@allowing
def verify(
    *models: Model, input: Input | None = None, batch: int | None = None,
    model: Source | None = None,
    allow_memory: int | str | None = None, **constructor_keywords: Any,
) -> Checks[tuple[Verification, ...]]:  # fmt: skip
    """Count networks with several tools, and explain where they differ.

    The answer is true where every difference has a known reason.

    Args:
        models: each as for `summary`.
        input: as for `summary`, for all of them.
        batch: as for `summary`, for all of them.
        model: the network of the saved records, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to every constructor.

    Raises:
        ArchscopeError: no model, or one that cannot be counted.

    Example:
        >>> archscope.verify("lenet").passed
        True
    """
    from archscope.ask.verify import verify as asked
    from archscope.study.verify import verify_report

    if not models:
        raise ArchscopeError("models", "nothing to verify", "name a network")
    targets = network_targets(
        models, input=input, batch=batch, keywords=constructor_keywords, beside=model
    )
    found = tuple(map(asked.verify, targets))
    return Checks(found, lambda: verify_report(found), all(one.passed for one in found))
