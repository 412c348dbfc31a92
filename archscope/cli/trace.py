"""`archscope trace`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from archscope.cli.help import Command
from archscope.cli.options import batch_number_option, input_option, output_option, set_option
from archscope.errors import ArchscopeError
from archscope.inert import printable
from archscope.measure import silence_profiler


@click.command(cls=Command)
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--model", metavar="MODEL", help="The network that was traced, to name its layers.")
@input_option
@batch_number_option("that of the trace by default")
@set_option
@click.option("--peaks", metavar="KEY=RATE,…",
              help="Roofs in flop/s and bytes/s: float32=15.7T,copy=900G.")  # fmt: skip
@click.option("--every-layer", is_flag=True, help="List every layer, not only the slowest.")
@output_option
def command(
    files: tuple[str, ...], model: str | None, input_text: str | None, batch: int | None,
    settings: tuple[str, ...], peaks: str | None, every_layer: bool, outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Where a step's time goes, by layer, from a trace that torch.profiler wrote.

    FILE is a .json or .json.gz of profile.export_chrome_trace, of PyTorch 1.9 or later and of any
    GPU. Layers are named after the modules in the file; where it has none, --model aligns the
    operators with those of the network. -o run.json saves a profile, which compare and check take;
    -o x.speedscope.json a flame graph by module, -o x.perfetto.json a track per module beside the
    kernels, for speedscope.app and ui.perfetto.dev.

    Two files are compared, layer by layer; files of several ranks of one job are shown together.
    """
    silence_profiler()
    from archscope.output import check_outputs, emit
    from archscope.resolve import parse_settings

    check_outputs(outputs)
    if model is None:
        given = {"--input": input_text, "--batch": batch, "--set": settings or None}
        for option, value in given.items():
            if value is not None:
                raise ArchscopeError(option, "goes with --model", "add --model")
    rates = _peaks(peaks)
    from archscope.ask.target import network_target
    from archscope.ask.trace.profile import traced
    from archscope.study.trace.report import report_of

    network = None
    if model is not None:
        keywords = parse_settings(settings)
        network = network_target(model, input=input_text, batch=batch, keywords=keywords)
    found = []
    for file in files:
        with _progress_bar(file) as progress:
            found.append(traced(file, network, peaks=rates, progress=progress))
    emit(report_of(files, found, every_layer=every_layer), outputs)


def _peaks(text: str | None) -> dict[str, float]:
    from archscope.ask.trace.device import roof_key
    from archscope.units import parse_count

    found: dict[str, float] = {}
    for part in (text or "").split(",") if text else ():
        key, equals, rate = part.partition("=")
        if not equals:
            problem = f"{part!r} has no rate"
            raise ArchscopeError("--peaks", problem, "write it like float32=15.7T,copy=900G")
        found[roof_key(key.strip())] = float(parse_count(rate, "--peaks"))
    return found


@contextmanager
def _progress_bar(file: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while a file is read, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task(printable(f"reading {file}"), total=1.0)
        yield lambda share: bars.update(task, completed=share)
