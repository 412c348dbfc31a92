"""`archscope formula`."""

from __future__ import annotations

import click

from archscope.cli.options import model_argument, network_options, output_option


@click.command()
@model_argument
@network_options
@output_option
def command(
    model: str, input_text: str | None, batch: int | str | None, settings: tuple[str, ...],
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Totals and layers of MODEL as closed forms in the sizes left free.

    Write symbols for them: --input 3xHxW --batch N. Without --input, the batch and every side
    that the network does not fix are free.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.symbols.formula import formula
    from archscope.ask.target import recalled
    from archscope.resolve import parse_settings
    from archscope.study.formula import formula_report

    asked = recalled(model, parse_settings(settings))
    network = asked.found or asked.model
    found = formula(network, input=input_text, batch=batch, keywords=asked.keywords)
    emit(formula_report(found), outputs)
