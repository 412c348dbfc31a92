"""`archscope report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", default="reports", type=click.Path(path_type=Path))
@click.option("--count", "anew", is_flag=True, help="First count every network anew.")
def command(folder: Path, anew: bool) -> None:
    """Rebuild the pages and figures of FOLDER (reports/) from its data/*.json."""
    from archscope.files import check_folder
    from archscope.report import rebuild

    check_folder(folder)
    if anew:
        from archscope.report.count import recount

        click.echo(f"{len(recount(folder / 'data'))} files of data")
    for path in rebuild(folder):
        click.echo(path)
