"""`archscope profile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.help import Command
from archscope.cli.options import (
    beside_option,
    check_used,
    input_option,
    output_option,
    set_option,
)
from archscope.cli.plan import measuring_options
from archscope.cli.stderr import say
from archscope.cli.timing import progress_bars
from archscope.errors import ArchscopeError
from archscope.measure import silence_profiler

if TYPE_CHECKING:
    from archscope.ask.target import Target
    from archscope.measure.session import Plan
    from archscope.records import Profile
    from archscope.table import Report


@click.command(cls=Command)
@click.argument("model", required=False)
@input_option
@set_option
@beside_option
@click.option("--batch", "batches", metavar="N,N,…", help="Batch size or sizes (8).")
@measuring_options
@click.option(
    "--max-batch",
    is_flag=True,
    help="Find the largest batch that fits; on a CPU this takes minutes.",
)
@click.option("--every-layer", is_flag=True, help="List every layer, not only the slowest.")
@output_option
def command(
    model: str | None, input_text: str | None, settings: tuple[str, ...], batches: str | None,
    max_batch: bool, every_layer: bool, outputs: tuple[str, ...], beside: str | None, **chosen: Any,
) -> None:  # fmt: skip
    """Measure MODEL's forward and backward time, whole and by layer, on a real device.

    Ctrl-C ends the measuring and reports what is known by then, of a measurement at hand from the
    samples taken. MODEL may be a saved profile, which is shown again; --batch chooses of several.
    """
    silence_profiler()
    if model is None:
        raise _no_model(chosen["compile"])
    from archscope.output import check_outputs, emit
    from archscope.resolve import parse_settings

    check_outputs(outputs)
    sizes = _sizes(batches)
    if max_batch:
        every = {str(option.name) for option in command.params}
        check_used(every - set(UNUSED_BY_MAX_BATCH), "--max-batch", "leave out one")
    from archscope.ask.target import network_target
    from archscope.saved.record import saved

    record = saved(model)
    if record is not None and record.profiles:
        shown = f"{model}, a profile that is shown as it was measured"
        check_used(USED_WITH_A_FILE, shown, "name the network to measure it again")
        emit(_report(record.chosen(sizes), every_layer), outputs)
        return
    from archscope.ask.profile.plan import plan_of

    plan = plan_of(**chosen)
    network = network_target(
        record or model, input=input_text, keywords=parse_settings(settings), beside=beside
    )
    network = replace(network, batch=None)
    if max_batch:
        _largest(network, plan, outputs)
        return
    from archscope.ask.profile.measured import sweep
    from archscope.ask.profile.points import require_finished

    with progress_bars() as progress:
        profiles = sweep(network, plan, sizes, progress=progress)
    if not any(profile.phases for profile in profiles):
        raise KeyboardInterrupt
    emit(_report(profiles, every_layer), outputs)
    require_finished(profiles)


def _report(profiles: Sequence[Profile], every_layer: bool) -> Report:
    from archscope.study.page import with_profile_page
    from archscope.study.profile import profile_report

    return with_profile_page(profile_report(profiles, every_layer=every_layer), profiles)


def _no_model(mode: str | None) -> ArchscopeError:
    """What is wrong with a call that names no network."""
    remedy = "see archscope profile --help"
    if mode not in (None, "default"):  # `--compile lenet` takes the network for a mode
        remedy = f"put it before --compile, or write --compile=MODE {mode}"
    return ArchscopeError("MODEL", "is missing", remedy)


USED_WITH_A_FILE = ("model", "batches", "every_layer", "outputs")
UNUSED_BY_MAX_BATCH = (
    "batches", "cuda_graph", "cold_l2", "precision", "max_seconds", "every_layer",
)  # fmt: skip


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ArchscopeError(f"--batch {text}", "is not a batch size", "write 8 or 1,8,32")
    return [int(part) for part in parts]


def _largest(network: Target, plan: Plan, outputs: tuple[str, ...]) -> None:
    from archscope.ask.profile.measured import largest_batch
    from archscope.output import emit
    from archscope.study.profile.largest import largest_report

    with progress_bars(_say) as progress:
        found = largest_batch(network, plan, progress=progress)
    emit(largest_report(network.name, plan, found), outputs)


def _say(label: str, share: float) -> None:
    """A line of progress, for what takes minutes and shows nothing until its end."""
    say(f"measuring {label}")
