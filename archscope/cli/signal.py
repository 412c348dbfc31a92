"""`archscope signal`."""

from __future__ import annotations

import click

from archscope.cli.options import batch_size, input_option, output_option, set_option


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@input_option
@click.option("--batch", metavar="N", help="Batch size (8 by default).")
@set_option
@click.option(
    "--layers", "pattern", metavar="PATTERN", help="Layers to show, by name or kind: 'layer1.*'."
)
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: str | None,
    settings: tuple[str, ...], pattern: str | None, outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Activation and gradient statistics of each MODEL by depth, at initialisation.

    One real forward and backward pass on standard normal input. A file saved with -o signal.json
    may stand in place of a MODEL.
    """
    from archscope.cli.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.errors import ArchscopeError
    from archscope.resolve import parse_settings
    from archscope.study.signal import signal, signal_report

    size = batch_size(batch)
    if isinstance(size, str):
        raise ArchscopeError(f"--batch {size}", "is a symbol", "give a number")
    record = signal(models, input=input_text, batch=size, keywords=parse_settings(settings))
    emit(signal_report(record, pattern), outputs)
