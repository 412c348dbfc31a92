"""`archscope merge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import output_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archscope.saved.shards import ShardFile
    from archscope.table import Report


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE…", shell_complete=completion.files)
@output_option
def command(files: tuple[str, ...], outputs: tuple[str, ...]) -> int:
    """Join the journals of a run's shards to the table of the whole run.

    \b
        archscope sweep lenet batch=1,2,4,8 --shard 1/2 --journal part-1.jsonl
        archscope sweep lenet batch=1,2,4,8 --shard 2/2 --journal part-2.jsonl
        archscope merge part-1.jsonl part-2.jsonl -o sweep.csv

    Prints, writes and exits with what one run over all points would. Files of different runs or
    versions are refused, and points that no file holds are named by their shards.
    """  # noqa: D301 - \b is a backspace, which tells click to leave lines as they are
    from archscope.output import check_outputs, emit
    from archscope.saved.shards import kind_of, read_files, refusing_damage

    check_outputs(outputs)
    parts = read_files(files)
    kind = kind_of(parts, (*REPORTS, FIT))
    if kind == FIT:
        with refusing_damage(parts):
            _fit(parts, outputs)
        return 0
    with refusing_damage(parts):
        report, passed = REPORTS[kind](parts)
    emit(report, outputs)
    return 0 if passed else 1


def _sweep(files: Sequence[ShardFile]) -> tuple[Report, bool]:
    from archscope.ask.sweep.merge import merged
    from archscope.study.page import with_sweep_page
    from archscope.study.sweep import sweep_report, sweep_title

    grid, outcomes = merged(files)
    report = sweep_report(sweep_title(grid), outcomes)
    return with_sweep_page(report, grid, outcomes), True


def _verification(files: Sequence[ShardFile]) -> tuple[Report, bool]:
    from archscope.ask.verify.merge import merged
    from archscope.study.verify import overview_report

    found, failures = merged(files)
    return overview_report(found, failures), all(one.passed for one in found)


def _groups(files: Sequence[ShardFile]) -> tuple[Report, bool]:
    from archscope.ask.groups.merge import merged
    from archscope.study.groups import group_report

    sweep, profiles = merged(files)
    return group_report(sweep, profiles), True


def _comparison(files: Sequence[ShardFile]) -> tuple[Report, bool]:
    from archscope.ask.contenders import contenders
    from archscope.ask.match import Solved
    from archscope.ask.profile.points import merged
    from archscope.cli.options import places
    from archscope.saved.record import Saved
    from archscope.study.compare import compare_report
    from archscope.study.compare.match import match_tables

    run, profiles = merged(files, "compare")
    first = match_tables(Solved.from_identity(run["match"]) if "match" in run else None)
    targets = [Saved(profile.model, profile) for profile in profiles]
    found = contenders(targets, places(run["predicted"]), run["weights"])
    return compare_report(found, layout=run["layout"], first=first), True


REPORTS = {"grid": _sweep, "verify": _verification, "groups": _groups, "compare": _comparison}
"""By what the first line of a journal calls its run."""

FIT = "fit"
"""The run that writes a device file, not a report."""


def _fit(files: Sequence[ShardFile], outputs: Sequence[str]) -> None:
    from archscope.ask.fit import fitted, merged
    from archscope.cli.fitting import require_file, say_left_out, write_device

    require_file(outputs)
    runs, failures = merged(files)
    for failure in failures:
        say_left_out(failure)
    write_device(fitted(runs, None), outputs[0])
