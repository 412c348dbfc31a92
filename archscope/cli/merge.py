"""`archscope merge`."""

from __future__ import annotations

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import output_option


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE…", shell_complete=completion.files)
@output_option
def command(files: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Join the journals of a sweep's shards to the table of the whole sweep.

    \b
    archscope sweep resnet50 batch=1,2,4,8 --shard 1/2 --journal part-1.jsonl
    archscope sweep resnet50 batch=1,2,4,8 --shard 2/2 --journal part-2.jsonl
    archscope merge part-1.jsonl part-2.jsonl -o sweep.csv

    Prints and writes what one run over all points would. Files of different sweeps or versions
    are refused, and points that no file holds are named by their shards.
    """  # noqa: D301
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.sweep.merge import merged
    from archscope.study.sweep import sweep_report, sweep_title

    grid, outcomes = merged(files)
    emit(sweep_report(sweep_title(grid), outcomes), outputs)
