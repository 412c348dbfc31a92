"""`archscope sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope.ask.profile.refused import check_shard
from archscope.cli.fleet import on_option, progress, shard_option
from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    model_argument,
    network_options,
    output_option,
    places,
    predict_option,
)
from archscope.cli.stderr import say

if TYPE_CHECKING:
    from archscope.ask.sweep.grid import Grid, Outcome
    from archscope.engines.shard import Shard
    from archscope.saved.journal import Journal

FEW_POINTS = 8
"""Up to so many points one process is as fast as several."""


@click.command(cls=Command)
@model_argument
@click.argument("axes", nargs=-1, metavar="KEY=V1,V2,… …")
@network_options
@beside_option
@click.option("--backward", is_flag=True, help="Also count the backward pass.")
@on_option
@click.option(
    "--jobs", metavar="N", type=click.IntRange(min=1), help="Processes; by default the cores."
)
@shard_option
@click.option("--journal", "journal_path", metavar="FILE", help="Where finished points are saved.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run from its journal.")
@predict_option
@output_option
def command(
    model: str, axes: tuple[str, ...], input_text: str | None, batch: int | str | None,
    settings: tuple[str, ...], backward: bool, on: str, jobs: int | None,
    shard: Shard, journal_path: str | None, resume: bool, predicted: str | None,
    outputs: tuple[str, ...],
    beside: str | None,
) -> None:  # fmt: skip
    """Count MODEL for every combination of the given values.

    KEY is a constructor keyword, `input` or `batch`; brackets hold a value with commas.

    --on ray counts on the nodes of a Ray cluster. --shard 3/8 counts every eighth point into a
    --journal, and archscope merge joins the files of all eight jobs.

    A point that fails says why in its row. Finished points are saved in a journal at once, so that
    after an interruption the same command with --resume counts the others only.
    """
    from archscope.errors import ArchscopeError
    from archscope.output import check_outputs, emit

    if not axes:
        listed = next((setting for setting in settings if "," in setting), "width=32,64,128")
        problem = "has no values to count over"
        raise ArchscopeError("KEY=V1,V2,…", problem, f"write archscope sweep {model} {listed}")
    check_outputs(outputs)
    check_shard(shard, journal_path)
    from archscope.engines.place import check_place

    check_place(on)
    places(predicted)
    from archscope.ask.sweep.grid import Grid, long_run, parse_axes
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.page import with_sweep_page
    from archscope.study.sweep import sweep_report, sweep_title

    network = network_target(
        model, input=input_text, batch=batch, keywords=parse_settings(settings), beside=beside
    )
    grid = Grid(
        network.name,
        parse_axes(axes),
        tuple(network.keywords.items()),
        network.input_text,
        network.batch,
        backward,
        predicted,
    )
    title = sweep_title(grid) + (f", shard {shard}" if shard.count > 1 else "")
    with long_run(grid, shard).journal(journal_path, resume, say) as journal:
        outcomes = _outcomes(grid, shard, on, jobs, journal)
        emit(with_sweep_page(sweep_report(title, outcomes), grid, outcomes), outputs)


def _outcomes(
    grid: Grid, shard: Shard, on: str, jobs: int | None, journal: Journal | None
) -> list[Outcome]:
    from archscope.ask.sweep.grid import run
    from archscope.ask.travel import counted
    from archscope.engines.local import NAME, usable_cores
    from archscope.engines.place import engine

    count = len(shard.of(grid.points))
    if jobs is None and on == NAME:
        jobs = 1 if count <= FEW_POINTS else usable_cores()
    with (
        engine(on, counted(grid.model), jobs=jobs, tell=say) as place,
        progress(place) as report,
    ):
        return run(grid, engine=place, shard=shard, journal=journal, progress=report)
