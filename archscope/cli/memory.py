"""`archscope memory`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli import completion
from archscope.cli.options import (
    beside_option,
    check_heard,
    model_argument,
    network_number_options,
    output_option,
)


@click.command()
@model_argument
@network_number_options
@beside_option
@click.option("--inference", is_flag=True, help="A forward pass that keeps nothing for backward.")
@click.option(
    "--optimizer",
    default="sgd",
    metavar="NAME",
    shell_complete=completion.optimizers,
    help="sgd (default), momentum, adam or adamw.",
)
@click.option(
    "--dtype", default="float32", metavar="NAME", help="float32 (default), bfloat16 or float16."
)
@click.option(
    "--master-weights", is_flag=True, help="Keep float32 weights beside those of --dtype."
)
@click.option(
    "--train-only", metavar="PATTERN", help="Freeze all layers but these: fc, 'layer4.*', Linear."
)
@click.option("--fit", metavar="BYTES", help="Find the largest batch within 24GiB.")
@output_option
def command(
    model: str, input_text: str | None, batch: int | None, settings: tuple[str, ...],
    inference: bool, optimizer: str, dtype: str, master_weights: bool, train_only: str | None,
    fit: str | None, outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Memory of a training step (or of inference) of MODEL, predicted without a device."""
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.memory import Setting, largest_batch, predict
    from archscope.ask.target import network_target
    from archscope.errors import ArchscopeError
    from archscope.records import MemoryPrediction
    from archscope.resolve import parse_settings
    from archscope.saved.record import saved
    from archscope.study.memory import memory_report
    from archscope.units import parse_bytes

    record = saved(model)
    anew = input_text or batch or settings or train_only or fit
    if record is not None and isinstance(record.record, MemoryPrediction) and not anew:
        shown = f"{model}, a prediction that is shown as it was made"
        check_heard(("model", "outputs"), shown, "name the network to predict it anew")
        emit(memory_report(record.record), outputs)
        return
    mode: Any = "inference" if inference else "training"
    setting = Setting(mode, optimizer, dtype, master_weights, train_only)
    keywords = parse_settings(settings)
    network = network_target(
        record or model, input=input_text, batch=batch, keywords=keywords, beside=beside
    )
    if fit is None:
        emit(memory_report(predict(network, setting)), outputs)
        return
    if batch is not None:
        raise ArchscopeError("--batch", "is what --fit looks for", "give one of the two")
    budget = parse_bytes(fit, "--fit")
    prediction = largest_batch(network, budget, setting)
    emit(memory_report(prediction, budget_bytes=budget), outputs)
