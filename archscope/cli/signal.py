"""`archscope signal`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import (
    batch_number_option,
    beside_option,
    check_used,
    input_option,
    output_option,
    set_option,
)


@click.command(cls=Command)
@click.argument(
    "models", metavar="MODEL...", nargs=-1, required=True, shell_complete=completion.networks
)
@input_option
@batch_number_option("8 by default")
@set_option
@beside_option
@click.option(
    "--layers", "pattern", metavar="PATTERN", help="Layers to show: layer1, '*.conv2', ReLU."
)
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | None,
    settings: tuple[str, ...], pattern: str | None, outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Activation and gradient statistics of each MODEL by depth, at initialisation.

    One real forward and backward pass, on standard normal input and zeros for integers.
    A file saved with -o signal.json may be given in place of a MODEL.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.signal import signal
    from archscope.ask.target import network_targets
    from archscope.resolve import parse_settings
    from archscope.saved.record import saved
    from archscope.study.signal import signal_report

    chosen: list[Any] = [saved(model) or model for model in models]
    if all(map(_is_signal, chosen)):
        used = ("models", "pattern", "outputs")
        check_used(used, "saved statistics alone", "name the network to measure it again")
    measured = [m for m in chosen if not _is_signal(m)]
    targets = iter(
        network_targets(
            measured, input=input_text, batch=batch, keywords=parse_settings(settings),
            beside=beside,
        )
    )  # fmt: skip
    record = signal([model if _is_signal(model) else next(targets) for model in chosen])
    emit(signal_report(record, pattern), outputs)


def _is_signal(model: object) -> bool:
    from archscope.records import SignalPropagation
    from archscope.saved.record import Saved

    return isinstance(model, Saved) and isinstance(model.record, SignalPropagation)
