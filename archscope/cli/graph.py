"""`archscope graph`."""

from __future__ import annotations

import click

from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    model_argument,
    network_number_options,
    output_option,
)


@click.command(cls=Command)
@model_argument
@click.argument("pattern", required=False, default="")
@network_number_options
@click.option(
    "--depth", metavar="N", type=click.IntRange(min=1), help="Levels of modules that are opened."
)
@beside_option
@output_option
def command(
    model: str, pattern: str, input_text: str | None, batch: int | None,
    settings: tuple[str, ...], depth: int | None, outputs: tuple[str, ...],
    beside: str | None,
) -> None:  # fmt: skip
    """Draw MODEL, or the modules that PATTERN names: modules and the tensors between them.

    Equal blocks that follow each other are drawn once, with their number; an edge beside which
    another path leads to the same end, such as a residual, is blue.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.explored import explored
    from archscope.ask.graph import network_graph
    from archscope.ask.target import network_target
    from archscope.resolve import parse_settings
    from archscope.study.graph import graph_report
    from archscope.study.page import with_page

    target = network_target(
        model, input=input_text, batch=batch, keywords=parse_settings(settings), beside=beside
    )
    graph = network_graph(target)
    report = graph_report(graph, depth=depth, pattern=pattern)
    emit(with_page(report, lambda: [explored(target, graph.analysis)]), outputs)
