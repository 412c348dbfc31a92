"""`archscope formula`."""

from __future__ import annotations

from dataclasses import replace

import click

from archscope.cli.help import Command
from archscope.cli.options import (
    batch_symbol_option,
    beside_option,
    input_option,
    model_argument,
    output_option,
    set_option,
)
from archscope.errors import ArchscopeError


@click.command(cls=Command)
@model_argument
@input_option
@batch_symbol_option
@set_option
@beside_option
@click.option("--layers", "every_layer", is_flag=True, help="Every layer, equal blocks one by one.")
@click.option(
    "--depth", metavar="N", type=click.IntRange(min=0), help="Sums over modules of N levels."
)
@output_option
def command(
    model: str, input_text: str | None, batch: int | str | None, settings: tuple[str, ...],
    outputs: tuple[str, ...], beside: str | None, every_layer: bool, depth: int | None,
) -> None:  # fmt: skip
    """Totals and layers of MODEL as closed forms in the sizes left free.

    Write symbols for them: --input 3xHxW --batch N. Without --input, the batch and every side
    that the network does not fix are free.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs, figures=False)
    if every_layer and depth is not None:
        raise ArchscopeError("--layers", "does not go with --depth", "leave one out")
    from archscope.ask.symbols.formula import formula
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.formula import formula_report

    keywords = parse_settings(settings)
    network = network_target(model, input=input_text, batch=batch, keywords=keywords, beside=beside)
    if input_text is None:  # a record's sides are numbers, of which none is left free
        network = replace(network, input=None, batch=batch)
    emit(formula_report(formula(network), every_layer=every_layer, depth=depth), outputs)
