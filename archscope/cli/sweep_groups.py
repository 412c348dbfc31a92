"""`archscope sweep-groups`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from archscope.ask.profile.refused import check_shard, check_where
from archscope.cli.fleet import long_run_options, progress
from archscope.cli.help import Command
from archscope.cli.options import (
    batch_option,
    beside_option,
    input_option,
    output_option,
    places,
    predict_option,
    set_option,
)
from archscope.cli.stderr import say
from archscope.cli.timing import feedback, timing_options

if TYPE_CHECKING:
    from archscope.ask.groups.family import Family
    from archscope.ask.groups.views import Equal, GroupSweep
    from archscope.ask.profile.measuring import Measuring
    from archscope.engines.shard import Shard
    from archscope.saved.journal import Journal


@click.command(cls=Command)
@click.argument("groups")
@click.option("--base", default="resnet50", metavar="MODEL", help="resnet50 by default.")
@click.option("--by", metavar="KEYWORD", help="The width that is solved for equal cost.")
@click.option(
    "--equal",
    type=click.Choice(["none", "macs", "params"]),
    multiple=True,
    help="What is held equal (none: the width); may repeat; all three by default.",
)
@input_option
@batch_option("1 by default, 8 with --time")
@set_option
@beside_option
@timing_options
@long_run_options
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="FILE",
    help="Times measured before; may repeat.",
)
@predict_option
@output_option
def command(
    groups: str, base: str, by: str | None, equal: tuple[str, ...], input_text: str | None,
    batch: int | str | None, settings: tuple[str, ...], timed: bool, device: str | None, on: str,
    gpu: str, shard: Shard, journal_path: str | None, resume: bool, profiles: tuple[str, ...],
    predicted: str | None, outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Count a network for each number of GROUPS, such as 1,2,4,8,32.

    At equal width, then with the width solved again for equal MACs and for equal parameters.
    Rows are in ascending order, and a repeated count is one row.
    Finished networks are saved in a journal at once, so that after an interruption the same command
    with --resume runs the others only. --shard 3/8 takes every eighth network, and archscope merge
    joins the journals of all eight jobs.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    check_shard(shard, journal_path)
    how = _measuring(timed, device, on, gpu)
    from archscope.ask.groups import times
    from archscope.ask.groups.entries import long_run
    from archscope.ask.groups.family import Family, check_base
    from archscope.ask.groups.views import EQUALS, parse_groups
    from archscope.ask.profile.points import require_finished
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.groups import group_report, unused_notes

    counts, where = parse_groups(groups), places(predicted)
    check_base(base, beside)
    network = network_target(
        base, input=input_text, batch=batch, keywords=parse_settings(settings), beside=beside
    )
    saved = [times.measured_before(path, network.batch) for path in profiles]
    if how is not None:
        network = replace(network, batch=times.batch_measured(network.batch))
    family = Family(network, by)
    views = [view for view in EQUALS if view in equal or not equal]
    run = long_run(family, counts, views, shard)
    with run.journal(journal_path, resume, say) as journal:
        sweep = _swept(family, counts, views, on, shard, journal)
        notes = unused_notes(sweep, profiles, saved)
        now = [] if how is None else times.timed(family, sweep, how, journal)
        steps = times.predicted(family, sweep, where)
        emit(group_report(sweep, [*now, *saved], notes, steps), outputs)
        require_finished(now)


def _measuring(timed: bool, device: str | None, on: str, gpu: str) -> Measuring | None:
    """How networks are measured; `None` where nobody asked to.

    Raises:
        ArchscopeError: a device without `--time`, or one that is not there.
    """
    from archscope.errors import ArchscopeError

    check_where(timed, on, gpu)
    if not timed:
        if device is not None:
            raise ArchscopeError("--device", "goes with --time", "add --time")
        return None
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile.measuring import Measuring
    from archscope.ask.profile.plan import plan_of

    return Measuring(plan_of(device=device, on=on, train=True), on, gpu, feedback())


def _swept(
    family: Family, counts: Sequence[int], views: Sequence[Equal], on: str, shard: Shard,
    journal: Journal | None,
) -> GroupSweep:  # fmt: skip
    from archscope.ask.groups.sweep import swept
    from archscope.ask.travel import counted
    from archscope.engines.place import engine

    with (
        engine(on, counted(family.model), jobs=None, tell=say) as place,
        progress(place) as report,
    ):
        return swept(family, counts, views, place, shard=shard, journal=journal, progress=report)
