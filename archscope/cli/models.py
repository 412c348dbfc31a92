"""`archscope models`."""

from __future__ import annotations

import click

from archscope.cli.help import Command
from archscope.cli.options import output_option


@click.command(cls=Command)
@click.argument("pattern", metavar="[NAME]", default="")
@output_option
def command(pattern: str, outputs: tuple[str, ...]) -> None:
    """List the networks that NAME finds, or one network's card.

    NAME is part of a name, a glob such as 'resne*50', timm:NAME, hf:NAME or diffusers:NAME.
    The exact name of one network prints what is known of it: source, published numbers, entries.
    """
    from archscope.output import check_outputs, emit
    from archscope.study.models import models_report

    check_outputs(outputs)
    emit(models_report(pattern), outputs)
