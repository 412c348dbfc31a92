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
    from archscope.study.cache import info_report

    check_outputs(outputs)
    emit(info_report(), outputs)


@command.command()
def clear() -> None:
    """Remove every saved count, roof and journal."""
    from archscope.saved import journal
    from archscope.saved.answers import stores
    from archscope.units import binary_bytes

    removed = [store.clear() for store in stores().values()]
    answers, journals = sum(contents.entries for contents in removed), journal.clear()
    counts = {"answer": answers, "journal": journals.entries}
    parts = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
    if not parts:
        click.echo("Nothing was saved.")
    else:
        size = sum(contents.total_bytes for contents in (*removed, journals))
        click.echo(f"Removed {' and '.join(parts)}, {binary_bytes(size)}.")
