"""`archscope compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope.cli.options import batch_size, network_options, output_option, strict_option

if TYPE_CHECKING:
    from archscope.study.compare import Layout
    from archscope.study.match import Quantity
    from archscope.table import Table


@click.command()
@click.argument("models", nargs=-1, required=True)
@network_options
@click.option(
    "--layout",
    type=click.Choice(["stages", "paper"]),
    default="stages",
    help="Differences by output stride, or the architecture table of the papers.",
)
@click.option(
    "--match",
    "quantity",
    type=click.Choice(["macs", "params", "activations"]),
    help="Solve a keyword of the later models so that they equal the first in this.",
)
@click.option("--by", "keyword", metavar="KEYWORD", help="The keyword solved for: its width.")
@strict_option
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: str | None, settings: tuple[str, ...],
    layout: Layout, quantity: Quantity | None, keyword: str | None, strict: bool,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Networks side by side: what MODELS cost and where they differ.

    `--input`, `--batch` and `--set` hold for every model that is named rather than saved.
    """
    from archscope.cli.output import check_outputs, emit
    from archscope.errors import ArchscopeError

    check_outputs(outputs)
    if keyword is not None and quantity is None:
        raise ArchscopeError("--by", "goes with --match", "add --match macs, params or activations")
    from archscope.resolve import parse_settings
    from archscope.study.analyse import require_complete
    from archscope.study.compare import compare_report, contenders, matched

    given = parse_settings(settings)
    keywords = [{} if name.endswith(".json") else dict(given) for name in models]
    size = batch_size(batch)
    first: tuple[Table, ...] = ()
    if quantity is not None:
        keywords, table = matched(models, quantity, keyword, keywords, input=input_text, batch=size)
        first = (table,)
    chosen = contenders(models, input=input_text, batch=size, keywords=keywords)
    emit(compare_report(chosen, layout=layout, first=first), outputs)
    if strict:
        for contender in chosen:
            require_complete(contender.analysis)
