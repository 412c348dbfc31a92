"""`archscope devices`."""

from __future__ import annotations

import click

from archscope.cli.help import Command
from archscope.cli.options import output_option


@click.command(cls=Command)
@click.argument("pattern", metavar="[NAME]", default="")
@output_option
def command(pattern: str, outputs: tuple[str, ...]) -> None:
    """List the GPUs that predict --on knows, with their rates.

    NAME is a part of a name, such as rtx, or an architecture, such as hopper.
    """
    from archscope.latency.devices import matching_devices
    from archscope.output import check_outputs, emit
    from archscope.study.devices import devices_report

    check_outputs(outputs)
    emit(devices_report(matching_devices(pattern)), outputs)
