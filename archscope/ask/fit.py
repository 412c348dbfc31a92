"""A device of the user's own, fitted to profiles, or to networks that are measured for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from archscope.ask.calibrate import calibrate
from archscope.ask.profile import compared, points
from archscope.ask.profile.measuring import SILENT, Feedback, Measuring
from archscope.ask.profile.there import ANY
from archscope.ask.target import Target
from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import RAY, check_place
from archscope.engines.shard import Shard
from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated
from archscope.latency.devices import find_device
from archscope.latency.setting import Setting
from archscope.measure import device as devices
from archscope.measure.session import Plan
from archscope.measure.step import Mode, Settings
from archscope.parameters import parameter
from archscope.records import Profile
from archscope.saved import answers
from archscope.saved.journal import Journal
from archscope.saved.long_run import LongRun
from archscope.saved.record import Saved

if TYPE_CHECKING:
    from archscope.saved.shards import ShardFile


def fitted(runs: Sequence[Saved], sheet: str | None, given: str = "device") -> Calibrated:
    """Fit a device to profiles of it.

    Args:
        runs: profiles of one model of GPU.
        sheet: the device whose data sheet holds; that of the profiles when `None`.
        given: the parameter that held its name.

    Raises:
        ArchscopeError: no such device, or nothing can be fitted.
    """
    return calibrate(runs, None if sheet is None else find_device(sheet, given), by_kind=True)


def measuring(setting: Setting, on: str, gpu: str, feedback: Feedback = SILENT) -> Measuring:
    """Measure as the device is to predict.

    Args:
        setting: how networks run there.
        on: where: `local`, `ray` or `ray://host:port`.
        gpu: the label of the GPU that is wanted; any when empty.
        feedback: what the user sees meanwhile.

    Raises:
        ArchscopeError: no such place, or this machine has no GPU.
    """
    check_place(on)
    if gpu and on == LOCAL:
        goes_with = f"goes with {parameter('on', RAY)}"
        raise ArchscopeError(parameter("gpu", gpu), goes_with, "leave it out")
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
    roofs = None if on != LOCAL else answers.roofs()
    plan = Plan(settings, modes=(cast(Mode, setting.mode),), roofs=roofs, chosen=False)
    return Measuring(plan, on, gpu, feedback)


def long_run(networks: Sequence[Target], how: Measuring, shard: Shard) -> LongRun:
    """The measurements of a fit as a run that a journal holds."""
    return compared.long_run("fit", networks, how, shard, {})


def measured(
    networks: Sequence[Target],
    how: Measuring,
    shard: Shard,
    journal: Journal | None,
    left_out: Callable[[ArchscopeError], None],
) -> list[Saved]:
    """The profiles of the shard's networks, each measured on a GPU of its own.

    Args:
        networks: of all shards.
        how: each is measured.
        shard: which of them.
        journal: holds each as soon as it is measured.
        left_out: is given why a network could not be measured.

    Raises:
        ArchscopeError: none could be measured, or nothing can run there.
    """

    def refusal(found: Profile) -> ArchscopeError | None:
        if not found.environment.device.startswith("cpu"):
            return None
        return ArchscopeError(
            parameter("on", how.on),
            f"PyTorch saw no GPU where {found.model} was measured",
            "use nodes whose GPUs PyTorch can use",
        )

    profiles = compared.apart(shard.of(networks), how, journal, refusal, left_out)
    return [Saved(profile.model, profile) for profile in profiles]


def merged(files: Sequence[ShardFile]) -> tuple[list[Saved], list[ArchscopeError]]:
    """The profiles that the shards of a fit have, and why other networks have none.

    Raises:
        ArchscopeError: the files cannot be joined, or no network was measured.
    """
    _, found = points.outcomes(files, "fit")
    failures = [one for one in found if isinstance(one, ArchscopeError)]
    if len(failures) == len(found):
        raise failures[0]
    return [Saved(one.model, one) for one in found if isinstance(one, Profile)], failures
