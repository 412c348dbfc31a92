"""What is said on stderr beside the answer: progress, journals, the line of an error."""

from __future__ import annotations

import click

from archscope.inert import LONGEST_LINE, one_line


def say(text: str) -> None:
    """One line, printable and bounded, whatever names are in it."""
    click.echo(one_line(text, 4 * LONGEST_LINE), err=True)
