"""`archscope diff`."""

from __future__ import annotations

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import batch_option, input_option, memory_option, output_option


@click.command(cls=Command)
@click.argument("old", shell_complete=completion.networks)
@click.argument("new", shell_complete=completion.networks)
@input_option
@batch_option()
@click.option("--exit-code", is_flag=True, help="Exit 1 when something changed, as git does.")
@memory_option
@output_option
def command(
    old: str, new: str, input_text: str | None, batch: int | str | None, exit_code: bool,
    outputs: tuple[str, ...],
) -> int:  # fmt: skip
    """What changed from OLD to NEW, layer by layer.

    Each is a record saved with `-o run.json`, or the name of a network.
    A renamed layer is known by its shapes and its place.
    `--input` and `--batch` hold for what is named rather than saved; of a file with several
    batches, `--batch` chooses.
    """
    from archscope.ask.diff import counted
    from archscope.output import check_outputs, emit
    from archscope.study.diff import diff_report, differs

    check_outputs(outputs, figures=False)
    pair = counted(old, new, input=input_text, batch=batch)
    report = diff_report(*pair)
    emit(report, outputs)
    return 1 if exit_code and differs(report) else 0
