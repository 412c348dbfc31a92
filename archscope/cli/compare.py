"""`archscope compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archscope.ask.profile.refused import check_not_timed, check_shard, check_where
from archscope.cli import completion
from archscope.cli.fleet import long_run_options
from archscope.cli.help import Command
from archscope.cli.options import (
    batch_number_option,
    check_used,
    input_option,
    output_option,
    places,
    predict_option,
    set_option,
    strict_option,
)
from archscope.cli.plan import measuring_options, refuse_measuring_options
from archscope.cli.stderr import say
from archscope.cli.timing import feedback, time_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archscope.ask.profile.compared import Timed
    from archscope.ask.profile.measuring import Measuring
    from archscope.engines.shard import Shard
    from archscope.resolve.published import Recipe
    from archscope.study.compare import Layout


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, shell_complete=completion.networks)
@input_option
@batch_number_option("1 by default, 8 with --time")
@set_option
@click.option(
    "--layout",
    type=click.Choice(["stages", "paper"]),
    default="stages",
    help="Differences by output stride, or the architecture table of the papers.",
)
@click.option(
    "--match",
    "quantity",
    type=click.Choice(["macs", "params", "activations"]),
    help="Solve a keyword of the later models so that they equal the first in this.",
)
@click.option("--by", "keyword", metavar="KEYWORD", help="The keyword solved for: its width.")
@click.option(
    "--weights",
    type=click.Choice(["V1", "V2", "best"]),
    default="V1",
    help="Recipe of torchvision's weights whose accuracy is shown (V1).",
)
@click.option(
    "--sort",
    metavar="KEY",
    shell_complete=completion.network_keys,
    help="One row a network, the largest first; -KEY for the smallest.",
)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), help="So many of the sorted networks."
)
@time_options
@measuring_options
@long_run_options
@predict_option
@strict_option
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | None, settings: tuple[str, ...],
    layout: Layout, quantity: str | None, keyword: str | None, weights: Recipe, sort: str | None,
    top: int | None, timed: bool, on: str, gpu: str, shard: Shard, journal_path: str | None,
    resume: bool, predicted: str | None, strict: bool, outputs: tuple[str, ...], **measuring: Any,
) -> None:  # fmt: skip
    """Networks side by side: what MODELS cost and where they differ.

    A name may be a pattern, such as 'resnet*'. More than four networks are the rows of one table.
    `--input`, `--batch` and `--set` hold for every model that is named rather than saved.
    A saved Profile brings its measured times; of a file with several batches, `--batch` chooses.
    --time measures up to four networks in turns. With --journal each is measured by itself and
    saved at once, so that --resume measures the others only.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    _check_options(timed, on, gpu, shard, journal_path, resume)
    check_shard(shard, journal_path)
    where = places(predicted)
    how = _measuring(on, gpu, measuring) if timed else None
    from archscope.ask.contenders import contenders, matched
    from archscope.ask.count import require_complete
    from archscope.ask.target import side_by_side
    from archscope.resolve import parse_settings
    from archscope.study.compare import compare_report
    from archscope.study.compare.match import match_tables
    from archscope.study.compare.shard import shard_report
    from archscope.study.page import with_comparison_page

    given = parse_settings(settings)
    targets = side_by_side(_read(models), input=input_text, batch=batch, keywords=given)
    targets, solved = matched(targets, quantity, keyword)
    measured: Timed | None = None
    if how is not None:
        from archscope.ask.profile import compared

        shown = compared.shown(layout, weights, predicted, solved)
        run = compared.long_run("compare", compared.named(targets), how, shard, shown)
        alone = resume or journal_path is not None
        with run.journal(journal_path, resume, say) as journal:
            measured = compared.timed(targets, how, shard, journal, alone=alone)
        targets = list(measured.targets)
    if shard.count > 1:
        emit(shard_report(len(targets)), outputs)
        return
    found = contenders(targets, where, weights)
    if measured is not None:
        found = tuple(map(measured.with_rounds, found))
    first = match_tables(solved)
    report = compare_report(found, layout=layout, first=first, sort=sort, top=top)
    emit(with_comparison_page(report, targets, found), outputs)
    if strict:
        for contender in found:
            require_complete(contender.analysis)


def _check_options(
    timed: bool, on: str, gpu: str, shard: Shard, path: str | None, resume: bool
) -> None:
    """Refuse options of measuring where nothing is."""
    check_where(timed, on, gpu)
    if not timed:
        refuse_measuring_options("add --time")
        check_not_timed(on, shard, path, resume)


def _read(models: Sequence[str]) -> list[Any]:
    """Saved records in the place of their files, other names as they are."""
    from archscope.records import BatchSweep
    from archscope.resolve.names import expanded
    from archscope.saved.record import saved

    chosen: list[Any] = [saved(name) or name for name in expanded(models)]
    if not any(isinstance(model, str) for model in chosen):
        several = any(isinstance(model.record, BatchSweep) for model in chosen)
        used = USED_WITH_FILES + (("batch",) if several else ())
        check_used(used, "saved records alone", "name a network to count or measure it")
    return chosen


USED_WITH_FILES = (
    "models",
    "layout",
    "quantity",
    "keyword",
    "weights",
    "sort",
    "top",
    "predicted",
    "strict",
    "outputs",
)


def _measuring(on: str, gpu: str, settings: dict[str, Any]) -> Measuring:
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile.measuring import Measuring
    from archscope.ask.profile.plan import plan_of

    return Measuring(plan_of(**settings, on=on), on, gpu, feedback())
