"""`archscope generate`."""

from __future__ import annotations

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    built_dtype_option,
    model_argument,
    output_option,
    set_option,
)


@click.command(cls=Command)
@model_argument
@click.option("--prompt", type=int, default=2048, show_default=True, help="Tokens of each prompt.")
@click.option("--tokens", type=int, default=256, show_default=True, help="Tokens to generate.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences at a time.")
@set_option
@built_dtype_option
@click.option("--fit", metavar="BYTES", help="Largest batch and context within 80GiB.")
@click.option(
    "--on",
    metavar="GPU,…",
    shell_complete=completion.devices,
    help="Predict the time on GPUs by name, such as rtx4090,h100, or device files.",
)
@beside_option
@output_option
def command(
    model: str, prompt: int, tokens: int, batch: int, settings: tuple[str, ...],
    fit: str | None, on: str | None, outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Prefill and decoding of MODEL side by side, with its cache by layer.

    MODEL is a network whose forward returns a cache, such as hf:llama.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs, figures=False)
    from archscope.ask.generation.run import generation
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.generation import generation_report
    from archscope.units import parse_bytes

    budget = None if fit is None else parse_bytes(fit, "--fit")
    devices = [name.strip() for name in on.split(",")] if on else []
    network = network_target(model, keywords=parse_settings(settings), beside=beside)
    found = generation(network, prompt, tokens, batch=batch, devices=devices)
    emit(generation_report(found, budget_bytes=budget), outputs)
