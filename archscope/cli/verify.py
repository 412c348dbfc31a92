"""`archscope verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope.ask.profile.refused import check_shard
from archscope.cli import completion
from archscope.cli.fleet import on_option, shard_option
from archscope.cli.help import Command
from archscope.cli.options import beside_option, network_number_options, output_option
from archscope.cli.stderr import say

if TYPE_CHECKING:
    from archscope.ask.verify.figures import Verification
    from archscope.engines.shard import Shard


@click.command(cls=Command)
@click.argument("models", nargs=-1, shell_complete=completion.networks)
@network_number_options
@beside_option
@click.option("--all", "every", is_flag=True, help="Every network of torchvision and timm.")
@on_option
@shard_option
@click.option("--journal", "journal_path", metavar="FILE", help="Where finished ones are saved.")
@click.option("--resume", is_flag=True, help="Continue an interrupted --all from its journal.")
@click.option("--save", metavar="FILE", help="Save every figure as JSON for python -m reports.")
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: int | None, settings: tuple[str, ...],
    every: bool, on: str, shard: Shard, journal_path: str | None, resume: bool, save: str | None,
    outputs: tuple[str, ...], beside: str | None,
) -> int:  # fmt: skip
    """Count MODELS with several tools, and explain where they disagree.

    fvcore, torch.utils.flop_counter and published figures; torchinfo, ptflops, thop, calflops and
    torchprofile where they are installed.
    Exits with 1 when a figure differs from archscope's for no known reason.
    --all saves every network in a journal once it is done, so that after an interruption the same
    command with --resume runs the others only. --shard 3/8 takes every eighth network, and
    archscope merge joins the journals of all eight jobs.
    """
    from archscope.ask.verify import asked
    from archscope.engines.place import check_place
    from archscope.errors import ArchscopeError
    from archscope.files import replace_file
    from archscope.output import check_file, check_outputs, emit
    from archscope.parameters import parameter

    check_outputs(outputs, figures=False)
    if save is not None and not save.endswith(".json"):
        raise ArchscopeError(f"--save {save}", "is not a JSON file", "name one like verify.json")
    if save is not None:
        check_file(save, parameter("save", save))
    asked.require_named_or_all(models, every)
    if not every:
        asked.check_named(on, shard, journal_path, resume)
    check_place(on)
    check_shard(shard, journal_path)
    from archscope.ask.target import network_targets
    from archscope.ask.verify import verify
    from archscope.ask.verify.figures import dumps
    from archscope.resolve import parse_settings
    from archscope.study.verify import overview_report, verify_report

    if every:
        asked.check_all(input_text, batch, parse_settings(settings), beside)
        found, failures = _every(on, shard, journal_path, resume)
        report = overview_report(found, failures)
    else:
        networks = network_targets(
            models, input=input_text, batch=batch, keywords=parse_settings(settings), beside=beside
        )
        found = [verify.verify(network) for network in networks]
        failures = {}
        report = verify_report(found)
    if save is not None:
        replace_file(save, dumps(found, failures).encode(), parameter("save", save))
    emit(report, outputs)
    return 0 if asked.passed(found) else 1


def _every(
    on: str, shard: Shard, path: str | None, resume: bool
) -> tuple[list[Verification], dict[str, str]]:
    from archscope.ask.verify import verify
    from archscope.engines.place import engine

    run = verify.long_run(shard)
    with (
        run.journal(path, resume, say) as journal,
        engine(on, verify.work(), jobs=None, tell=say) as place,
    ):
        return verify.verify_each(verify.names_of(shard), verify.verify_named, say, journal, place)
