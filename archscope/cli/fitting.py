"""`archscope predict --fit`: a device file of profiles, or of networks measured for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from archscope.ask.profile.refused import check_not_fitted, check_shard
from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import CLIENT, RAY
from archscope.errors import ArchscopeError
from archscope.parameters import on_command_line, parameter

if TYPE_CHECKING:
    from archscope.ask.target import Target
    from archscope.engines.shard import Shard
    from archscope.latency.calibration import Calibrated
    from archscope.latency.setting import Setting
    from archscope.saved.record import Saved


@dataclass(frozen=True)
class FitRun:
    """Where the measurements of a fit run, and what keeps them.

    Args:
        gpu: the label of the GPU that is wanted; any when empty.
        shard: which of the networks.
        journal_path: as the user named it.
        resume: whether to continue from the journal.
    """

    gpu: str
    shard: Shard
    journal_path: str | None
    resume: bool

    def require_unused(self) -> None:
        """Refuse options that decide nothing without a measurement."""
        check_not_fitted(self.gpu, self.shard, self.journal_path, self.resume)


def fit_device(
    models: Sequence[str], given: dict[str, Any], on: str | None, setting: Setting, run: FitRun,
    outputs: Sequence[str],
) -> None:  # fmt: skip
    """Write the device file that profiles give.

    Args:
        models: saved profiles, and names of networks to measure.
        given: input, batch and keywords of the networks.
        on: the data sheet of profiles; or where networks are measured.
        setting: how they run.
        run: where, and what keeps the measurements.
        outputs: of the command.

    Raises:
        ArchscopeError: there is no GPU, a measurement fails, or nothing can be fitted.
    """
    require_file(outputs)
    from archscope.output import check_outputs

    check_outputs(outputs)
    from archscope.ask.calibrate import profiles_of
    from archscope.ask.fit import fitted
    from archscope.ask.target import network_target
    from archscope.saved.record import is_record
    from archscope.units import plural

    place = on if on is not None and (on in (LOCAL, RAY) or on.startswith(CLIENT)) else None
    files = [name for name in models if is_record(name) or name.endswith(".json.gz")]
    named = [network_target(name, **given) for name in models if name not in files]
    if not named:
        run.require_unused()
    runs = profiles_of(files)
    runs += _measured(named, place or LOCAL, setting, run) if named else []
    if run.shard.count > 1:
        count = plural(len(runs), "network")
        click.echo(f"{count} measured; join the shards with archscope merge -o {outputs[0]}.")
        return
    write_device(fitted(runs, None if place else on, "on"), outputs[0])


def require_file(outputs: Sequence[str]) -> None:
    """Refuse a fit without one file to write.

    Raises:
        ArchscopeError: there is none, or several, or one of another kind.
    """
    if len(outputs) != 1 or not outputs[0].endswith(".json"):
        raise ArchscopeError(parameter("fit"), "writes one device file", "add -o mygpu.json")


def write_device(found: Calibrated, path: str) -> None:
    """Write a device file, and say how the device differs from its prediction.

    Args:
        found: the device.
        path: of the file.
    """
    from archscope.files import replace_file
    from archscope.study.predict.fitted import sentence

    replace_file(path, found.text().encode(), parameter("output", path))
    click.echo(f"{path}: {sentence(found)}; predict with --on {path}")


def say_left_out(failure: ArchscopeError) -> None:
    """Name a network that the fit goes without."""
    from archscope.cli.stderr import say

    say(f"left out: {failure.worded(on_command_line)}")


def _measured(networks: Sequence[Target], on: str, setting: Setting, run: FitRun) -> list[Saved]:
    """The profiles of the shard's networks, with what the user sees of them."""
    from archscope.ask import fit
    from archscope.cli.stderr import say
    from archscope.cli.timing import feedback
    from archscope.measure import silence_profiler

    silence_profiler()
    check_shard(run.shard, run.journal_path)
    how = fit.measuring(setting, on, run.gpu, feedback())
    with fit.long_run(networks, how, run.shard).journal(
        run.journal_path, run.resume, say
    ) as finished:
        return fit.measured(networks, how, run.shard, finished, say_left_out)
