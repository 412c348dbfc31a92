"""`archscope summary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from archscope.cli import completion
from archscope.cli.help import Command
from archscope.cli.options import (
    check_used,
    network_options,
    output_option,
    strict_option,
)


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, shell_complete=completion.networks)
@network_options
@click.option("--backward", is_flag=True, help="Also count the backward pass.")
@click.option("--train", is_flag=True, help="Run in training mode (auxiliary heads, dropout).")
@click.option(
    "--train-only", metavar="PATTERN", help="Freeze all layers but these: fc, 'layer4.*', Linear."
)
@click.option(
    "--device", type=click.Choice(("cpu", "cuda")),
    help="Device that tensors report (cpu by default); need not be present.",
)  # fmt: skip
@click.option("--depth", metavar="N", type=click.IntRange(min=0), help="Levels of the tree.")
@click.option("--all", "unfold", is_flag=True, help="Every level, and equal blocks one by one.")
@click.option(
    "--columns",
    metavar="KEY,…",
    help="Columns by commas, such as params,macs.",
    shell_complete=completion.columns,
)
@click.option(
    "--sort",
    default="execution",
    metavar="KEY",
    help="List layers, or networks, by size, such as macs.",
    shell_complete=completion.sort_keys,
)
@click.option("--top", metavar="N", type=click.IntRange(min=1), help="List so many of them.")
@strict_option
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | str | None,
    settings: tuple[str, ...], backward: bool, train: bool, train_only: str | None,
    device: str | None,
    depth: int | None, unfold: bool, columns: str | None, sort: str,
    top: int | None, strict: bool, outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Shapes, parameters and multiply-accumulates of every layer of MODELS.

    Several, or a pattern such as 'resnet*', are the rows of one table, a row a network.

    -o FILE.modelexplorer.json writes the MACs of every node that torch.export writes, to colour
    its graph in Google's Model Explorer; FILE.params.modelexplorer.json its parameters.
    """
    from archscope.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.ask.count import analyse, require_complete
    from archscope.ask.explored import explored
    from archscope.ask.target import target
    from archscope.resolve import parse_settings
    from archscope.resolve.names import expanded
    from archscope.study.node_data import node_data
    from archscope.study.page import with_page
    from archscope.study.summary import summary_report

    named, keywords = expanded(models), parse_settings(settings)
    if len(named) > 1:
        question = {"input": input_text, "batch": batch, "keywords": keywords}
        _several(named, {**question, "backward": backward, "train": train}, sort, top, strict,
                 outputs)  # fmt: skip
        return
    network = target(named[0], input=input_text, batch=batch, keywords=keywords)
    analysis = analyse(
        network, backward=backward or train_only is not None, train=train, train_only=train_only,
        device=device,
    )  # fmt: skip
    keys = None if columns is None else [key.strip() for key in columns.split(",")]
    if keys and "receptive_field" in keys:
        from archscope.study.receptive_field import add_fields

        analysis = add_fields(analysis, network)
    unfrozen = (
        None if train_only is None else analyse(network, backward=True, train=train, device=device)
    )
    report = summary_report(
        analysis, depth=depth, unfold=unfold, columns=keys, sort=sort, top=top, unfrozen=unfrozen
    )
    report = replace(report, exports=node_data(network))
    emit(with_page(report, lambda: [explored(network, analysis)]), outputs)
    if strict:
        require_complete(analysis)


USED_BY_MANY = (
    "models", "input_text", "batch", "settings", "backward", "train", "sort", "top", "strict",
    "outputs",
)  # fmt: skip


def _several(
    named: Sequence[str], question: Mapping[str, Any], sort: str, top: int | None, strict: bool,
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """A row a network."""
    check_used(USED_BY_MANY, "several networks", "name one network")
    from archscope.ask.count import require_complete
    from archscope.ask.many import counted_each
    from archscope.output import emit
    from archscope.study.compare.many import many_report

    found = counted_each(named, **question)
    order = None if sort == "execution" else sort
    emit(many_report(found.networks, sort=order, top=top, problems=found.problems), outputs)
    for each in found.networks if strict else ():
        require_complete(each.analysis)
