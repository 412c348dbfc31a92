"""`archscope predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archscope.cli import completion
from archscope.cli.fitting import FitRun
from archscope.cli.fleet import long_run_options
from archscope.cli.help import Command
from archscope.cli.options import beside_option, network_number_options, output_option

if TYPE_CHECKING:
    from archscope.ask.gpus import GPU
    from archscope.ask.target import Target
    from archscope.engines.shard import Shard
    from archscope.latency.setting import Setting


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, shell_complete=completion.networks)
@network_number_options
@click.option(
    "--on",
    "on",
    metavar="GPU,…",
    shell_complete=completion.devices,
    help="GPUs by name, such as rtx4090,a100,h200 (see archscope devices), or device files; with "
    "--fit where networks are measured: local, ray, ray://host:10001.",
)
@click.option(
    "--peak",
    metavar="RATE",
    help="A GPU by its flop/s in --dtype: 989e12 or 989T.",
)
@click.option("--bandwidth", metavar="RATE", help="And its memory's bytes/s: 4.8e12 or 4.8T.")
@click.option(
    "--dtype", default="amp", show_default=True, help="amp, float16, bfloat16, float32 or tf32."
)
@click.option(
    "--layout", default="nchw", show_default=True, help="Of images: nchw, or nhwc: channels last."
)
@click.option("--mode", default="inference", show_default=True, help="inference or training.")
@click.option("--compiled", is_flag=True, help="As torch.compile fuses it.")
@click.option(
    "--own-hosts",
    is_flag=True,
    help="Each GPU with the host that it was measured on; otherwise several GPUs are compared on "
    "one.",
)
@click.option(
    "--calibrate",
    "runs",
    multiple=True,
    metavar="FILE",
    help="A profile measured on the GPU, or a trace of a step of one of MODELS there, to correct "
    "the prediction by; may repeat.",
)
@click.option(
    "--fit",
    is_flag=True,
    help="Fit a device to MODELS, saved profiles or networks that are measured now, and write its "
    "file with -o.",
)
@click.option(
    "--gpu", default="", metavar="MODEL", help="For --fit --on ray: a GPU with this label."
)
@long_run_options
@click.option(
    "--explain",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="The arithmetic of these layers; may repeat.",
)
@beside_option
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | None, settings: tuple[str, ...],
    on: str | None, peak: str | None, bandwidth: str | None, dtype: str, layout: str,
    mode: str, compiled: bool, own_hosts: bool, runs: tuple[str, ...], fit: bool, gpu: str,
    shard: Shard, journal_path: str | None, resume: bool, patterns: tuple[str, ...],
    outputs: tuple[str, ...], beside: str | None,
) -> None:  # fmt: skip
    """Time of a step of MODELS on GPUs that need not be here, with an 80 % interval.

    A GPU that nobody measured is predicted from its data sheet, less surely. --calibrate corrects
    it by a profile or two of your own; --fit makes a device file of a handful of them, which --on
    takes. Networks that --fit measures itself run --on local, ray or ray://host:10001, each on a
    GPU of its own, and are saved in a journal.
    """
    from archscope.latency.setting import Setting
    from archscope.measure import silence_profiler
    from archscope.output import check_outputs

    silence_profiler()
    setting = Setting(mode, dtype, layout, compiled)
    run = FitRun(gpu, shard, journal_path, resume)
    if fit:
        from archscope.cli.fitting import fit_device

        fit_device(models, _given(input_text, batch, settings), on, setting, run, outputs)
        return
    run.require_unused()
    check_outputs(outputs)
    from archscope.ask.gpus import gpus
    from archscope.ask.target import network_targets
    from archscope.resolve import parse_settings

    keywords = parse_settings(settings)
    targets = network_targets(
        models, input=input_text, batch=batch, keywords=keywords, beside=beside
    )
    devices = gpus(
        on.split(",") if on else (), peak=peak, bandwidth=bandwidth, dtype=dtype, calibrate=runs,
        networks=targets, given="on",
    )  # fmt: skip
    if patterns:
        _explain(targets, devices, setting, patterns, outputs)
    else:
        _predict(targets, devices, setting, own_hosts, outputs)


def _given(input_text: str | None, batch: int | None, settings: tuple[str, ...]) -> dict[str, Any]:
    from archscope.resolve import parse_settings

    return {"input": input_text, "batch": batch, "keywords": parse_settings(settings)}


def _predict(
    targets: list[Target], devices: list[GPU], setting: Setting, own_hosts: bool,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    from archscope.ask.predict import predictions
    from archscope.output import emit
    from archscope.study.page import with_prediction_page
    from archscope.study.predict import predict_report

    found = predictions(targets, devices, setting, own_hosts)
    each = [target for target in targets for _ in devices]
    emit(with_prediction_page(predict_report(found), each, found), outputs)


def _explain(
    targets: list[Target], devices: list[GPU], setting: Setting, patterns: tuple[str, ...],
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    from archscope.ask.predict import explained
    from archscope.output import emit
    from archscope.study.predict import arithmetic_report

    emit(arithmetic_report(explained(targets, devices, setting, patterns)), outputs)
