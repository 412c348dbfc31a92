"""`archscope diff`."""

from __future__ import annotations

import click

from archscope.cli.options import output_option


@click.command()
@click.argument("old")
@click.argument("new")
@output_option
def command(old: str, new: str, outputs: tuple[str, ...]) -> None:
    """What changed from OLD to NEW, layer by layer.

    Each is a record saved with `-o run.json`, or the name of a network.
    A renamed layer is known by its shapes and its place.
    """
    from archscope.cli.output import check_outputs, emit
    from archscope.study.analyse import analyse
    from archscope.study.diff import diff_report

    check_outputs(outputs)
    emit(diff_report(analyse(old), analyse(new)), outputs)
