"""`python -m reports`: the pages and figures of this folder, made from its data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from archscope.errors import ArchscopeError

HERE = Path(__file__).parent


@click.command()
@click.argument("folder", default=HERE, type=click.Path(path_type=Path))
@click.option("--count", "recounted", is_flag=True, help="First count every network again.")
@click.option("--measure", "measured", is_flag=True, help="First measure every network again.")
@click.option("--device", metavar="NAME", help="For --measure: cpu, cuda; the fastest by default.")
@click.option("--threads", type=click.IntRange(min=1), help="For --measure: CPU threads.")
def command(
    folder: Path, recounted: bool, measured: bool, device: str | None, threads: int | None
) -> None:
    """Rebuild the pages and figures of FOLDER (reports/) from its data/*.json."""
    from archscope.files import check_folder
    from reports import rebuild

    if not measured and (device is not None or threads is not None):
        raise ArchscopeError("--device, --threads", "go with --measure", "add --measure")
    check_folder(folder)
    if recounted:
        from reports.count import recount

        click.echo(f"{len(recount(folder / 'data'))} files of data")
    if measured:
        _measure(folder / "data", device, threads)
    for path in rebuild(folder):
        click.echo(path)


def _measure(folder: Path, device: str | None, threads: int | None) -> None:
    from archscope.cli.timing import progress_bars
    from archscope.measure import device as devices
    from reports.jobs import measure_reports

    name = devices.best() if device is None else device
    devices.find(name)
    with progress_bars() as progress:
        for path in measure_reports(name, threads, progress, folder):
            click.echo(f"wrote {path}", err=True)


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; a mistake is one line on stderr."""
    try:
        command.main(list(arguments), prog_name="python -m reports", standalone_mode=False)
    except ArchscopeError as error:
        click.echo(f"reports: {error}", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"reports: {error.format_message()}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("reports: interrupted", err=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
