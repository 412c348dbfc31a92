"""`archscope cache`."""

from __future__ import annotations

import click

from archscope.cli.options import output_option


@click.group(no_args_is_help=False)
def command() -> None:
    """The counts kept from earlier runs."""


@command.command()
@output_option
def info(outputs: tuple[str, ...]) -> None:
    """Where the counts lie and how much they take."""
    from archscope.cli.output import check_outputs, emit
    from archscope.study.kept import info_report

    check_outputs(outputs)
    emit(info_report(), outputs)


@command.command()
def clear() -> None:
    """Forget every count kept so far."""
    from archscope.study.kept import store
    from archscope.units import binary_bytes

    shelf = store()
    removed = None if shelf is None else shelf.clear()
    if removed is None or not removed.entries:
        click.echo("Nothing was kept.")
    else:
        answers = "answer" if removed.entries == 1 else "answers"
        click.echo(f"Removed {removed.entries} {answers}, {binary_bytes(removed.total_bytes)}.")
