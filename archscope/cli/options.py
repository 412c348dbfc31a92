"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from archscope.study.journal import Journal

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

model_argument = click.argument("model")

input_option = click.option(
    "--input",
    "input_text",
    metavar="SPEC",
    help="Input without the batch: 3x224x224, ids=128:int64, several by commas.",
)
batch_option = click.option("--batch", metavar="N", help="Batch size (1 by default).")
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Constructor keyword, such as num_classes=2; may repeat.",
)
output_option = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="Also write a file; the suffix picks the format; may repeat.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="Exit 1 when an operator has no formula."
)


def network_options(command: Decorated) -> Decorated:
    """`--input`, `--batch` and `--set`: which network, on what."""
    for option in (set_option, batch_option, input_option):
        command = option(command)
    return command


@contextmanager
def resumable(
    path: str | None, name: str, identity: Mapping[str, Any], resume: bool, parts: str
) -> Iterator[Journal | None]:
    """The journal of a run, as `archscope.study.journal.opened` finds it.

    After Ctrl-C a line on stderr says how many of the `parts` (`60 points`) it holds.
    """
    from archscope.study.journal import opened

    with opened(path, name, identity, resume=resume) as journal:
        try:
            yield journal
        except KeyboardInterrupt:
            if journal is not None:
                done = len(journal.entries)
                click.echo(f"{done} of {parts} are kept; --resume runs the others", err=True)
            raise


def batch_size(text: str | None) -> int | str | None:
    """Read `--batch`: a whole number, or a symbol where a formula is asked for.

    Raises:
        ArchscopeError: the text is neither.
    """
    if text is None:
        return None
    from archscope.resolve import parse_input

    return parse_input("1", text).batch if not text.isdecimal() or int(text) < 1 else int(text)
