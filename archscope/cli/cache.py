"""`archscope cache`."""

from __future__ import annotations

import click

from archscope.cli.options import output_option


@click.group(no_args_is_help=False)
def command() -> None:
    """The counts and roofs kept from earlier runs."""


@command.command()
@output_option
def info(outputs: tuple[str, ...]) -> None:
    """Where they lie and how much they take."""
    from archscope.cli.output import check_outputs, emit
    from archscope.study.kept import info_report

    check_outputs(outputs)
    emit(info_report(), outputs)


@command.command()
def clear() -> None:
    """Forget every count and roof kept so far."""
    from archscope.study.kept import stores
    from archscope.units import binary_bytes

    removed = [store.clear() for store in stores().values()]
    entries = sum(contents.entries for contents in removed)
    if not entries:
        click.echo("Nothing was kept.")
    else:
        answers = "answer" if entries == 1 else "answers"
        size = binary_bytes(sum(contents.total_bytes for contents in removed))
        click.echo(f"Removed {entries} {answers}, {size}.")
