"""`archscope distribute`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli.options import (
    beside_option,
    check_used,
    model_argument,
    network_number_options,
    output_option,
)


@click.command()
@model_argument
@network_number_options
@beside_option
@click.option("--plan", "kind", default="ddp", metavar="NAME", help="ddp (default) or fsdp.")
@click.option("--gpus", default=8, metavar="N", type=int, help="GPUs of the job (8 by default).")
@click.option(
    "--wrap", metavar="PATTERN", help="Modules that fsdp gathers each alone (repeated blocks)."
)
@click.option(
    "--reshard-after-forward/--no-reshard-after-forward",
    "reshard",
    default=True,
    help="Whether fsdp drops gathered parameters until the backward pass.",
)
@output_option
def command(
    model: str, input_text: str | None, batch: int | None, settings: tuple[str, ...],
    beside: str | None, kind: Any, gpus: int, wrap: str | None, reshard: bool,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """What a training step of MODEL moves between GPUs, as PyTorch issues it.

    PyTorch's own parallel classes run on a fake process group, without a GPU; --batch is that of
    one GPU.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.distribute import ParallelPlan, distribute
    from archscope.ask.target import network_target
    from archscope.records import Distribution
    from archscope.resolve import parse_settings
    from archscope.saved.record import saved
    from archscope.study.distribute import distribute_report

    record = saved(model)
    if record is not None and isinstance(record.record, Distribution):
        shown = f"{model}, which is shown as it was saved"
        check_used(("model", "outputs"), shown, "name the network itself")
        emit(distribute_report(record.record), outputs)
        return
    chosen = ParallelPlan(kind, gpus, wrap, reshard)
    target = network_target(
        record or model,
        input=input_text,
        batch=batch,
        keywords=parse_settings(settings),
        beside=beside,
    )
    emit(distribute_report(distribute(target, chosen)), outputs)
