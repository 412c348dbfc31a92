"""`archscope predict --fit`: a device file of profiles, or of networks measured for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import CLIENT, RAY, check_place
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    from archscope.ask.target import Target
    from archscope.engines.shard import Shard
    from archscope.latency.setting import Setting
    from archscope.measure.session import Plan
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
        """Refuse options that decide nothing without a measurement.

        Raises:
            ArchscopeError: naming the first of them.
        """
        given = {
            f"--gpu {self.gpu}": self.gpu,
            f"--shard {self.shard}": self.shard.count > 1,
            f"--journal {self.journal_path}": self.journal_path,
            "--resume": self.resume,
        }
        for option, value in given.items():
            if value:
                raise ArchscopeError(
                    option, "goes with --fit and networks to measure", "leave it out"
                )


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
    from archscope.ask.calibrate import profiles_of
    from archscope.ask.target import network_target
    from archscope.saved.record import is_record
    from archscope.units import plural

    place = on if on is not None and (on in (LOCAL, RAY) or on.startswith(CLIENT)) else None
    named = [network_target(name, **given) for name in models if not is_record(name)]
    if not named:
        run.require_unused()
    runs = profiles_of([name for name in models if is_record(name)])
    runs += _measured(named, place or LOCAL, setting, run) if named else []
    if run.shard.count > 1:
        count = plural(len(runs), "network")
        click.echo(f"{count} measured; join the shards with archscope merge -o {outputs[0]}.")
        return
    write_device(runs, None if place else on, outputs[0])


def require_file(outputs: Sequence[str]) -> None:
    """Refuse a fit without one file to write.

    Raises:
        ArchscopeError: there is none, or several, or one of another kind.
    """
    if len(outputs) != 1 or not outputs[0].endswith(".json"):
        raise ArchscopeError(parameter("fit"), "writes one device file", "add -o mygpu.json")


def write_device(runs: Sequence[Saved], sheet: str | None, path: str) -> None:
    """Fit a device to profiles, write its file, and say how it differs from its prediction.

    Args:
        runs: profiles of one model of GPU.
        sheet: the device whose data sheet holds; that of the profiles when `None`.
        path: of the file.
    """
    from archscope.ask.calibrate import calibrate
    from archscope.files import replace_file
    from archscope.latency.devices import find_device

    found = calibrate(runs, None if sheet is None else find_device(sheet, "on"), by_kind=True)
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False)
    replace_file(path, text.encode(), "-o")
    every = found.factors["*"]
    click.echo(
        f"{path}: {found.device.name} reaches {every.compute:.2f}× of the arithmetic and "
        f"{every.memory:.2f}× of the bandwidth that was predicted for it, by "
        f"{found.rows} layers; predict with --on {path}"
    )


def _measured(named: Sequence[Target], on: str, setting: Setting, run: FitRun) -> list[Saved]:
    """The profiles of the shard's networks, each measured on a GPU of its own."""
    from archscope.cli.fleet import check_shard
    from archscope.cli.points import apart, long_run
    from archscope.saved.record import Saved

    check_place(on)
    check_shard(run.shard, run.journal_path)
    if run.gpu and on == LOCAL:
        raise ArchscopeError(f"--gpu {run.gpu}", "goes with --on ray", "leave it out")
    plan = _plan(setting, on)
    kept = long_run("fit", named, plan, run.gpu, run.shard, {})
    own = run.shard.of(named)
    with kept.journal(run.journal_path, run.resume) as journal:
        profiles = apart(own, plan, on, run.gpu, journal)
    for profile in profiles:
        if profile.environment.device.startswith("cpu"):
            raise ArchscopeError(
                f"--on {on}", f"PyTorch saw no GPU where {profile.model} was measured",
                "use nodes whose GPUs PyTorch can use",
            )  # fmt: skip
    return [Saved(profile.model, profile) for profile in profiles]


def _plan(setting: Setting, on: str) -> Plan:
    """Measure as the device file is to predict.

    Raises:
        ArchscopeError: this machine has no GPU.
    """
    from archscope.ask.profile.there import ANY
    from archscope.measure import device as devices
    from archscope.measure import silence_profiler
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.saved import answers

    silence_profiler()
    device = ANY if on != LOCAL else devices.best()
    if device == "cpu":
        raise ArchscopeError(
            parameter("fit"), "this machine has no GPU to measure on",
            f"give profiles, or measure with {parameter('on', RAY)}",
        )  # fmt: skip
    amp = setting.dtype == "amp"
    settings = Settings(
        device=device,
        dtype="float16" if amp else setting.dtype,
        amp=amp,
        channels_last=setting.layout == "nhwc",
        compile="default" if setting.compiled else None,
    )
    mode: Any = setting.mode
    roofs = None if on != LOCAL else answers.roofs()
    return Plan(settings, modes=(mode,), roofs=roofs, chosen=False)
