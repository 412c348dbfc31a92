"""`archscope predict`."""

from __future__ import annotations

import click

from archscope.cli import completion
from archscope.cli.options import network_number_options, output_option


@click.command()
@click.argument("models", nargs=-1, required=True, shell_complete=completion.networks)
@network_number_options
@click.option(
    "--on",
    "devices",
    metavar="GPU,…",
    shell_complete=completion.devices,
    help="GPUs by name, such as rtx4090,a100,h200; see --on list.",
)
@click.option("--dtype", default="amp", show_default=True, help="amp, float32, float16, bfloat16.")
@click.option("--layout", default="nchw", show_default=True, help="nchw, or nhwc: channels last.")
@click.option("--mode", default="inference", show_default=True, help="inference or training.")
@click.option("--compiled", is_flag=True, help="As torch.compile fuses it.")
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | None, settings: tuple[str, ...],
    devices: str | None, dtype: str, layout: str, mode: str, compiled: bool,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Time of a step of MODELS on GPUs that need not be here, with an 80 % interval."""
    from archscope.errors import ArchscopeError
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    if devices is None:
        raise ArchscopeError("--on", "is needed: which GPU?", "name one such as --on rtx4090")
    from archscope.ask.count import analyse
    from archscope.ask.explored import explored
    from archscope.ask.predict import predictions
    from archscope.ask.target import network_targets
    from archscope.latency.devices import find_device
    from archscope.latency.setting import Setting
    from archscope.resolve import parse_settings
    from archscope.study.page import predicted_label, with_page
    from archscope.study.predict import predict_report

    setting = Setting(mode, dtype, layout, compiled)
    sheets = [find_device(name) for name in devices.split(",")]
    keywords = parse_settings(settings)
    targets = network_targets(models, input=input_text, batch=batch, keywords=keywords)
    found = predictions(targets, sheets, setting)
    pairs = list(zip([target for target in targets for _ in sheets], found, strict=True))
    report = predict_report(found)
    page = with_page(
        report,
        lambda: [
            explored(t, analyse(t), label=predicted_label(p, found), prediction=p) for t, p in pairs
        ],
        report.title,
    )
    emit(page, outputs)
