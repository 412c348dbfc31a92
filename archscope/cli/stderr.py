"""What is said on stderr beside the answer: progress, journals, the line of an error."""

from __future__ import annotations

import click

from archscope.inert import LONGEST_LINE, one_line


def say(text: str) -> None:
    """One line, printable and bounded, whatever names are in it."""
    click.echo(one_line(text, 4 * LONGEST_LINE), err=True)


_HELD = "archscope.said_after_the_answer"


def say_after(text: str) -> None:
    """The same line once the command has ended, below its answer or above the line of its error."""
    context = click.get_current_context()
    held: list[str] = context.meta.setdefault(_HELD, [])
    if not held:
        context.call_on_close(lambda: _say_held(held))
    held.append(text)


def _say_held(held: list[str]) -> None:
    for text in held:
        say(text)
