"""`archscope sweep-groups`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.fleet import check_shard, long_run_options, progress
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
from archscope.cli.resuming import LongRun
from archscope.cli.stderr import say
from archscope.cli.timing import (
    gpu_engine,
    leave_if_interrupted,
    progress_bars,
    timing_options,
    timing_plan,
)
from archscope.engines.local import NAME as LOCAL

if TYPE_CHECKING:
    from archscope.ask.groups.family import Family
    from archscope.ask.groups.times import PredictedTimes
    from archscope.ask.groups.views import Equal, GroupSweep
    from archscope.ask.profile.points import Question
    from archscope.engines.shard import Shard
    from archscope.latency.place import Place
    from archscope.measure.session import Plan
    from archscope.records import Dim, Profile
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
    from archscope.ask.groups.family import Family
    from archscope.ask.groups.views import EQUALS, parse_groups
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.groups import group_report

    counts = parse_groups(groups)
    places(predicted)
    plan = timing_plan(timed, device, on, gpu, modes=("training",))
    network = network_target(
        base, input=input_text, batch=batch, keywords=parse_settings(settings), beside=beside
    )
    saved = [_profile(path, network.batch) for path in profiles]
    family = Family(replace(network, batch=_size(network.batch, plan)), by)
    views = [view for view in EQUALS if view in equal or not equal]
    with _long_run(family, counts, views, shard).journal(journal_path, resume) as journal:
        sweep = _swept(family, counts, views, on, shard, journal)
        notes = _unused_notes(sweep, profiles, saved)
        now = [] if plan is None else _measured(family, sweep, plan, on, gpu, journal)
        times = _predicted(family, sweep, places(predicted))
        emit(group_report(sweep, [*now, *saved], notes, times), outputs)
        leave_if_interrupted(now)


def _long_run(
    family: Family, counts: Sequence[int], views: Sequence[Equal], shard: Shard
) -> LongRun:
    from archscope.ask.groups.entries import Question
    from archscope.ask.groups.entries import read as read_counted
    from archscope.ask.profile.points import MEASURED, key
    from archscope.ask.profile.points import read as read_measured

    def read(entry: dict[str, Any]) -> object:
        return read_measured(entry) if MEASURED in entry else read_counted(entry)

    asked = Question.of(family, counts, views)
    return LongRun(
        asked.file_name,
        {**asked.identity, **shard.identity},
        key([family.model]),
        read,
        len(shard.of(asked.points)) + 2,  # with what ratios compare with
        "networks",
    )


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


def _size(batch: Dim | None, plan: Plan | None) -> Dim | None:
    """The batch counted at: that of the measurement, if there is one.

    Raises:
        ArchscopeError: a symbol, where it is measured.
    """
    if plan is None:
        return batch
    from archscope.ask.profile.measured import DEFAULT_BATCH
    from archscope.errors import ArchscopeError

    if isinstance(batch, str):
        raise ArchscopeError(
            f"--batch {batch}", "is not a batch size to measure at", "give one like 8"
        )
    return batch or DEFAULT_BATCH


def _measured(
    family: Family, sweep: GroupSweep, plan: Plan, on: str, gpu: str, journal: Journal | None
) -> list[Profile]:
    """Each network once, in turns; those that the journal holds are not measured again."""
    from archscope.ask.groups.times import distinct, in_turns, measured, questions
    from archscope.ask.profile import points

    members = distinct(sweep)

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [members[index] for index in chosen]
        if on != LOCAL:
            with gpu_engine([family.model], plan, on, gpu) as place:
                yield from zip(chosen, in_turns(place, family, some, plan), strict=False)
            return
        with progress_bars() as bars:
            yield from zip(chosen, measured(family, some, plan, bars), strict=False)

    asked: list[Question] = questions(family, members, plan, gpu)
    return points.measured(asked, [family.model] * len(asked), measure, journal)


def _predicted(family: Family, sweep: GroupSweep, where: Sequence[Place]) -> PredictedTimes:
    if not where:
        return {}
    from archscope.ask.groups.times import predicted

    return predicted(family, sweep, where)


def _unused_notes(
    sweep: GroupSweep, paths: Sequence[str], profiles: Sequence[Profile]
) -> list[str]:
    """A sentence for each file whose times are in no row.

    Raises:
        ArchscopeError: one is of another network.
    """
    from archscope.errors import ArchscopeError
    from archscope.study.groups import unused

    swept = sweep.base.analysis.model
    notes = []
    for path, profile, reason in zip(paths, profiles, unused(sweep, profiles), strict=True):
        if reason and profile.model != swept:
            raise ArchscopeError(
                f"--profile {path}",
                f"measured {profile.model}, which is not a row of {swept}'s ({reason})",
                "leave it out",
            )
        if reason:
            notes.append(f"Times of {path} are not used: {reason}.")
    return notes


def _profile(path: str, batch: Dim | None) -> Profile:
    from archscope import archive
    from archscope.errors import ArchscopeError
    from archscope.records import BatchSweep, Profile
    from archscope.saved.record import at_batch

    record = archive.load(path)
    if isinstance(record, BatchSweep):
        return at_batch(record, batch, path)
    if not isinstance(record, Profile):
        raise ArchscopeError(f"--profile {path}", "holds no times", "save one with profile -o")
    return record
