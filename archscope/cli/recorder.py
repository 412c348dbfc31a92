"""`archscope recorder`."""

from __future__ import annotations

from importlib import resources

import click

from archscope.cli.help import Command


@click.command(cls=Command)
def command() -> None:
    """Print a file that records a trace for archscope trace, and needs PyTorch alone.

    \b
        archscope recorder > record.py      copy it beside the training script
        archscope trace trace.json.gz       of the trace that it writes
    """  # noqa: D301 - \b is a backspace, which tells click to leave lines as they are
    text = resources.files("archscope.measure").joinpath("record.py").read_text("utf-8")
    click.echo(text, nl=False)
