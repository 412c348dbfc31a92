"""`archscope memory`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli.options import batch_size, model_argument, network_options, output_option


@click.command()
@model_argument
@network_options
@click.option("--inference", is_flag=True, help="A forward pass that keeps nothing for backward.")
@click.option(
    "--optimizer", default="sgd", metavar="NAME", help="sgd (default), momentum, adam or adamw."
)
@click.option(
    "--dtype", default="float32", metavar="NAME", help="float32 (default), bfloat16 or float16."
)
@click.option(
    "--master-weights", is_flag=True, help="Keep float32 weights beside those of --dtype."
)
@click.option(
    "--train-only", metavar="PATTERN", help="Freeze all but the matching parameters: 'fc*'."
)
@click.option("--fit", metavar="BYTES", help="Find the largest batch within 24GiB.")
@output_option
def command(
    model: str, input_text: str | None, batch: str | None, settings: tuple[str, ...],
    inference: bool, optimizer: str, dtype: str, master_weights: bool, train_only: str | None,
    fit: str | None, outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Memory of a training step (or of inference) of MODEL, predicted without a device."""
    from archscope.cli.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.errors import ArchscopeError
    from archscope.records import MemoryPrediction
    from archscope.resolve import parse_settings
    from archscope.study.memory import Setting, largest_batch, memory_report, predict
    from archscope.study.recall import recalled, shown_again
    from archscope.units import parse_bytes

    saved = shown_again(MemoryPrediction, model)
    if saved is not None and not (input_text or batch or settings or train_only or fit):
        emit(memory_report(saved), outputs)
        return
    mode: Any = "inference" if inference else "training"
    asked = recalled(model, parse_settings(settings), input_text)
    if fit is None:
        size = asked.batch if batch is None else batch_size(batch)
        if isinstance(size, str):
            raise ArchscopeError(f"--batch {size}", "is a symbol", "give a number")
        prediction = predict(
            asked.model,
            input=asked.input,
            batch=size,
            mode=mode,
            optimizer=optimizer,
            dtype=dtype,
            master_weights=master_weights,
            train_only=train_only,
            keywords=asked.keywords,
        )
        emit(memory_report(prediction), outputs)
        return
    if batch is not None:
        raise ArchscopeError("--batch", "is what --fit looks for", "give one of the two")
    budget = parse_bytes(fit, "--fit")
    setting = Setting(mode, optimizer, dtype, master_weights, train_only)
    prediction = largest_batch(
        asked.model, budget, input=asked.input, setting=setting, keywords=asked.keywords
    )
    emit(memory_report(prediction, budget_bytes=budget), outputs)
