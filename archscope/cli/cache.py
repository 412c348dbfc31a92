"""`archscope cache`."""

from __future__ import annotations

import click

from archscope.cli.options import output_option


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The counts, roofs and journals saved by earlier runs; info when nothing else is asked."""
    if context.invoked_subcommand is None:
        context.invoke(info, outputs=())


@command.command()
@output_option
def info(outputs: tuple[str, ...]) -> None:
    """Where they are saved and how much they take."""
    from archscope.output import check_outputs, emit
    from archscope.saved.overview import held
    from archscope.study.cache import info_report

    check_outputs(outputs)
    emit(info_report(held()), outputs)


@command.command()
def clear() -> None:
    """Remove every saved count, roof and journal."""
    from archscope.saved import overview
    from archscope.units import binary_bytes, plural

    removed = overview.clear()
    journals = sum(one.entries for one in removed if one.most_bytes is None)
    answers = sum(one.entries for one in removed) - journals
    parts = [plural(n, what) for n, what in ((answers, "answer"), (journals, "journal")) if n]
    if not parts:
        click.echo("Nothing was saved.")
    else:
        size = sum(one.total_bytes for one in removed)
        click.echo(f"Removed {' and '.join(parts)}, {binary_bytes(size)}.")
