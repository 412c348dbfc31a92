"""`archscope memory`."""

from __future__ import annotations

from collections.abc import Callable
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

STEP_OPTIONS = (
    click.option(
        "--inference",
        is_flag=True,
        help="A forward pass alone, which saves nothing for a backward pass.",
    ),
    click.option(
        "--optimizer",
        default="sgd",
        metavar="NAME",
        shell_complete=completion.optimizers,
        help="sgd (default), momentum, adam, adamw, adam8bit or adamw8bit.",
    ),
    click.option(
        "--form", default="foreach", metavar="NAME", help="Update: foreach, fused or for-loop."
    ),
    click.option(
        "--dtype",
        default="own",
        metavar="NAME",
        help="own (default), float32, bfloat16, float16; amp or amp-bfloat16 for autocast.",
    ),
    click.option("--master-weights", is_flag=True, help="Keep float32 weights beside --dtype's."),
    click.option(
        "--train-only", metavar="PATTERN", help="Freeze all layers but these: fc, 'layer4.*'."
    ),
    click.option(
        "--accumulate",
        default=1,
        metavar="N",
        type=int,
        help="Passes per update, whose gradients are added up.",
    ),
    click.option(
        "--checkpoint",
        metavar="PATTERN",
        help="Checkpointed modules, which run forward again: 'layer*.*'.",
    ),
    click.option("--lora", default=0, metavar="RANK", type=int, help="Train low-rank matrices."),
    click.option(
        "--lora-on", default="*", metavar="PATTERN", help="Linear layers that get them: '*q_proj'."
    ),
    click.option("--zero", default=0, metavar="STAGE", type=int, help="ZeRO 1, 2 or 3."),
    click.option("--gpus", default=1, metavar="N", type=int, help="GPUs that ZeRO divides among."),
    click.option(
        "--attention",
        default="sdpa",
        metavar="NAME",
        help="sdpa (default), or eager: written out, as before PyTorch 2.0.",
    ),
    click.option(
        "--layout",
        default="nchw",
        metavar="NAME",
        help="Of images: nchw (default), or nhwc: channels last.",
    ),
    click.option(
        "--device", default="cuda", metavar="NAME", help="Kernels and allocator: cuda or cpu."
    ),
)
"""How the step runs; each is a field of `Setting`."""


def step_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(STEP_OPTIONS):
        command = option(command)
    return command


@click.command(cls=Command)
@model_argument
@network_number_options
@beside_option
@step_options
@click.option("--fit", metavar="BYTES", help="Find the largest batch within BYTES, such as 24GiB.")
@click.option(
    "--plan", metavar="BYTES", help="Find the cheapest measures for a batch to fit into BYTES."
)
@output_option
def command(
    model: str, input_text: str | None, batch: int | None, settings: tuple[str, ...],
    fit: str | None, plan: str | None, outputs: tuple[str, ...], beside: str | None, **step: Any,
) -> None:  # fmt: skip
    """Memory of a training step (or of inference) of MODEL, predicted without a device."""
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.memory.fit import largest_batch
    from archscope.ask.memory.plan import plan_to_fit
    from archscope.ask.memory.prediction import predict
    from archscope.ask.memory.setting import Mode, Setting
    from archscope.ask.target import network_target
    from archscope.errors import ArchscopeError
    from archscope.records import MemoryPrediction
    from archscope.resolve import parse_settings
    from archscope.saved.record import saved
    from archscope.study.memory import memory_report, plan_report
    from archscope.units import parse_bytes

    record = saved(model)
    changed = input_text or batch or settings or step["train_only"] or fit or plan
    if record is not None and isinstance(record.record, MemoryPrediction) and not changed:
        shown = f"{model}, a prediction that is shown as it was made"
        check_used(("model", "outputs"), shown, "name the network to predict it again")
        emit(memory_report(record.record), outputs)
        return
    mode: Mode = "inference" if step.pop("inference") else "training"
    setting = Setting(mode, **step)
    keywords = parse_settings(settings)
    network = network_target(
        record or model, input=input_text, batch=batch, keywords=keywords, beside=beside
    )
    if plan is not None:
        if fit is not None:
            raise ArchscopeError(
                "--plan", "does not change the batch, which --fit looks for", "give one"
            )
        emit(plan_report(plan_to_fit(network, parse_bytes(plan, "--plan"), setting)), outputs)
        return
    if fit is None:
        emit(memory_report(predict(network, setting)), outputs)
        return
    if batch is not None:
        raise ArchscopeError("--batch", "is what --fit looks for", "give one of the two")
    budget = parse_bytes(fit, "--fit")
    prediction = largest_batch(network, budget, setting)
    emit(memory_report(prediction, budget_bytes=budget), outputs)
