"""`archscope explain`."""

from __future__ import annotations

import click

from archscope.cli.help import Command
from archscope.cli.options import model_argument, network_number_options, output_option


@click.command(cls=Command)
@model_argument
@click.argument("layers", nargs=-1, metavar="[LAYER]...")
@network_number_options
@output_option
def command(
    model: str, layers: tuple[str, ...], input_text: str | None, batch: int | None,
    settings: tuple[str, ...], outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """The arithmetic of the layers of MODEL, with the numbers in place.

    LAYER is a name or a glob, such as conv1, layer1.0 or 'layer1.*.conv2'; all by default.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs, figures=False)
    from archscope.ask.count import analyse_both_passes
    from archscope.ask.elementwise import elementwise_of
    from archscope.ask.target import target
    from archscope.resolve import parse_settings
    from archscope.study.explain import explain_report

    network = target(model, input=input_text, batch=batch, keywords=parse_settings(settings))
    analysis = analyse_both_passes(network)
    operators = elementwise_of(network, analysis)
    emit(explain_report(analysis, layers, operators), outputs)
