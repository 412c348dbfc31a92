"""`archscope receptive-field`."""

from __future__ import annotations

import click

from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    input_option,
    model_argument,
    output_option,
    set_option,
)


@click.command(cls=Command)
@model_argument
@input_option
@set_option
@beside_option
@click.option(
    "--layers",
    "pattern",
    metavar="PATTERN",
    help="Layers to show: layer4, '*.conv2', Conv2d.",
)
@output_option
def command(
    model: str, input_text: str | None, settings: tuple[str, ...], pattern: str | None,
    outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Size, stride and padding of the receptive field of every layer of MODEL."""
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.receptive_field import receptive_fields
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.receptive_field import fields_report

    network = network_target(
        model, input=input_text, keywords=parse_settings(settings), beside=beside
    )
    fields = receptive_fields(network)
    emit(fields_report(fields, pattern), outputs)
