"""`archscope distribute`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    check_used,
    model_argument,
    network_number_options,
    output_option,
)


@click.command(cls=Command)
@model_argument
@network_number_options
@beside_option
@click.option(
    "--plan",
    "kind",
    default="ddp",
    metavar="NAME",
    help="How GPUs divide the training: ddp (default), fsdp, hsdp, tp, fsdp+tp ….",
)
@click.option("--gpus", default=8, metavar="N", type=int, help="GPUs of the job (8 by default).")
@click.option(
    "--wrap", metavar="PATTERN", help="Modules that fsdp gathers one by one (repeated blocks)."
)
@click.option(
    "--reshard-after-forward/--no-reshard-after-forward",
    "reshard",
    default=True,
    help="Whether fsdp drops gathered parameters until the backward pass.",
)
@click.option(
    "--tp", metavar="N", type=int, help="GPUs that divide a layer, where tp is beside another."
)
@click.option(
    "--sequence-parallel",
    "sequence",
    is_flag=True,
    help="GPUs that divide layers also divide the tokens between them.",
)
@click.option(
    "--replicas", metavar="N", type=int, help="Groups under hsdp that each hold all parameters."
)
@click.option(
    "--dtype",
    metavar="NAME",
    help="Dtype in which fsdp gathers and computes, such as bfloat16 (the parameters' own).",
)
@click.option(
    "--reduce-dtype",
    metavar="NAME",
    help="Dtype in which fsdp reduces gradients (that of --dtype).",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    metavar="PATTERN=STYLE",
    help="Divide layers under tp: '*.up=colwise', '*.down=rowwise', "
    "head=colwise_gather_output; may repeat.",
)
@click.option(
    "--optimizer",
    default="adamw",
    metavar="NAME",
    shell_complete=completion.optimizers,
    help="Optimizer of the predicted memory (adamw).",
)
@click.option(
    "--on", metavar="GPU", shell_complete=completion.devices, help="Predict the time, as on h100."
)
@output_option
def command(
    model: str, input_text: str | None, batch: int | None, settings: tuple[str, ...],
    beside: str | None, kind: Any, gpus: int, wrap: str | None, reshard: bool,
    tp: int | None, sequence: bool, replicas: int | None, dtype: str | None,
    reduce_dtype: str | None, styles: tuple[str, ...], optimizer: str, on: str | None,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """What a training step of MODEL moves between GPUs, as PyTorch issues it.

    PyTorch's own parallel classes run on a fake process group, without a GPU; --batch is that of
    one GPU.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.ask.distribute.run import distribute
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
    chosen = ParallelPlan(
        kind, gpus, wrap, reshard, tp, tuple(map(_style, styles)), optimizer, on, replicas, dtype,
        reduce_dtype, sequence,
    )  # fmt: skip
    target = network_target(
        record or model,
        input=input_text,
        batch=batch,
        keywords=parse_settings(settings),
        beside=beside,
    )
    emit(distribute_report(distribute(target, chosen)), outputs)


def _style(text: str) -> tuple[str, str]:
    pattern, _, style = text.rpartition("=")
    return pattern, style
