"""`archscope compare`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from archscope.cli import completion
from archscope.cli.fleet import check_shard, long_run_options
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
from archscope.cli.timing import check_where, time_options
from archscope.engines.local import NAME as LOCAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archscope.ask.contenders import Contender
    from archscope.ask.target import Target
    from archscope.cli.resuming import LongRun
    from archscope.engines.shard import Shard
    from archscope.measure.session import Plan
    from archscope.measure.side_by_side import SideBySide
    from archscope.records import Profile
    from archscope.resolve.published import Recipe
    from archscope.saved.journal import Journal
    from archscope.saved.record import Saved
    from archscope.study.compare import Layout
    from archscope.table import Table


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
    --time measures up to four networks in turns. With --journal each is measured by itself and kept
    at once, so that --resume measures the others only.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    _check_options(quantity, keyword, timed, on, gpu)
    where = places(predicted)
    plan = _plan(on, measuring) if timed else None
    _check_journal(plan, shard, journal_path, resume, quantity)
    from archscope.ask.contenders import contenders
    from archscope.ask.count import require_complete
    from archscope.ask.target import side_by_side
    from archscope.resolve import parse_settings
    from archscope.study.compare import compare_report
    from archscope.study.page import with_comparison_page
    from archscope.units import plural

    given = parse_settings(settings)
    targets = side_by_side(_read(models), input=input_text, batch=batch, keywords=given)
    first: tuple[Table, ...] = ()
    if quantity is not None:
        targets, first = _solved(targets, quantity, keyword)
    together: SideBySide | None = None
    if plan is not None:
        run = _long_run(targets, plan, gpu, shard, layout, weights, predicted)
        with run.journal(journal_path, resume) as journal:
            apart = on != LOCAL or resume or journal_path is not None
            if apart:
                targets = _one_by_one(targets, plan, on, gpu, shard, journal)
            else:
                targets, together = _in_turns(targets, plan, journal)
    if shard.count > 1:
        count = plural(len(targets), "network")
        click.echo(f"{count} measured; join the shards with archscope merge.")
        return
    found = contenders(targets, where, weights)
    if together is not None:
        found = tuple(_with_rounds(one, together) for one in found)
    report = compare_report(found, layout=layout, first=first, sort=sort, top=top)
    emit(with_comparison_page(report, targets, found), outputs)
    if strict:
        for contender in found:
            require_complete(contender.analysis)


def _check_options(
    quantity: str | None, keyword: str | None, timed: bool, on: str, gpu: str
) -> None:
    """Refuse options of a match and of measuring where there is neither."""
    from archscope.errors import ArchscopeError

    if keyword is not None and quantity is None:
        raise ArchscopeError("--by", "goes with --match", "add --match macs, params or activations")
    check_where(timed, on, gpu)
    if not timed:
        refuse_measuring_options("add --time")
        if on != LOCAL:
            raise ArchscopeError(f"--on {on}", "goes with --time", "add --time")


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


def _solved(
    targets: Sequence[Target | Saved], quantity: str, keyword: str | None
) -> tuple[list[Target | Saved], tuple[Table, ...]]:
    """The networks with a keyword solved for, and the table that shows the solution."""
    from archscope.ask.contenders import matched
    from archscope.quantities import MATCHED
    from archscope.study.compare.match import match_table

    complete, solved = matched(targets, MATCHED[quantity], keyword)
    return complete, (match_table(solved),)


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


def _check_journal(
    plan: Plan | None, shard: Shard, path: str | None, resume: bool, matched: str | None
) -> None:
    """Refuse what goes with measuring alone, and shards that lack what they are compared by."""
    from archscope.errors import ArchscopeError

    given = {"--journal": path, "--resume": resume, f"--shard {shard}": shard.count > 1}
    wrong = next((option for option, value in given.items() if value), None)
    if plan is None and wrong is not None:
        raise ArchscopeError(wrong, "goes with --time", "add --time")
    if matched is not None and shard.count > 1:
        raise ArchscopeError(
            f"--shard {shard}", "does not go with --match, which counts every network",
            "leave one out",
        )  # fmt: skip
    check_shard(shard, path)


def _long_run(
    targets: Sequence[Target | Saved], plan: Plan, gpu: str, shard: Shard, layout: Layout,
    weights: Recipe, predicted: str | None,
) -> LongRun:  # fmt: skip
    from archscope.cli.points import long_run

    shown = {"layout": layout, "weights": weights, "predicted": predicted}
    return long_run("compare", _named(targets), plan, gpu, shard, shown)


def _named(targets: Sequence[Target | Saved]) -> list[Target]:
    from archscope.saved.record import Saved

    return [target for target in targets if not isinstance(target, Saved)]


def _plan(on: str, measuring: dict[str, Any]) -> Plan:
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile.plan import plan_of

    return plan_of(**measuring, on=on)


def _one_by_one(
    targets: Sequence[Target | Saved], plan: Plan, on: str, gpu: str, shard: Shard,
    journal: Journal | None,
) -> list[Target | Saved]:  # fmt: skip
    """The Profile of each network of the shard; a saved record stays what it is."""
    from archscope.cli.points import one_by_one

    own = list(shard.of(_named(targets)))
    return _in_place(targets, own, one_by_one(own, plan, on, gpu, journal))


def _in_turns(
    targets: Sequence[Target | Saved], plan: Plan, journal: Journal | None
) -> tuple[list[Target | Saved], SideBySide | None]:
    """The same of all networks, and what was measured in turns."""
    from archscope.cli.points import in_turns

    own = _named(targets)
    profiles, together = in_turns(own, plan, journal)
    return _in_place(targets, own, profiles), together


def _in_place(
    targets: Sequence[Target | Saved], own: Sequence[Target], profiles: Sequence[Profile]
) -> list[Target | Saved]:
    """Records as they were named, profiles where a network was, without those of other shards."""
    from archscope.saved.record import Saved

    found = {id(target): Saved(target.name, p) for target, p in zip(own, profiles, strict=True)}
    kept = [t for t in targets if isinstance(t, Saved) or id(t) in found]
    return [found.get(id(target), target) for target in kept]


def _with_rounds(found: Contender, together: SideBySide) -> Contender:
    """A network that was measured in turns with its rounds."""
    for place, profile in enumerate(together.profiles):
        if found.profile is profile:
            rounds = {phase: each[place] for phase, each in together.rounds.items()}
            return replace(found, rounds=rounds)
    return found
