"""Measured profiles of a device → its own factors, for predictions on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from os import PathLike, fspath

from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated, Observation, calibrated
from archscope.latency.coefficients import Rates, fitted
from archscope.latency.devices import Device, find_device
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.latency.setting import Setting
from archscope.parameters import parameter
from archscope.records import Profile
from archscope.saved.record import Saved, saved

SHORTEST_SHARE = 1e-3
"""Layers that take less of the step are left out."""


def calibrate(runs: Sequence[Saved], device: Device | None, *, by_kind: bool) -> Calibrated:
    """Find the factors of the device on which networks were measured.

    Args:
        runs: measured profiles, or those read from traces.
        device: its data sheet; that of the name in the profiles when `None`.
        by_kind: whether each kind of work gets factors of its own.

    Raises:
        ArchscopeError: a file is no profile of a GPU, two are of different models of GPU, the
            network cannot be built from its name, or its device has no data sheet.
    """
    _require_one_device(runs)
    observations: list[Observation] = []
    sheet = device
    for run in runs:
        profile = _profile(run)
        sheet = sheet or sheet_of(run.name, profile)
        observations += _observations(run, profile, sheet)
    if sheet is None or not observations:
        remedy = "save one with archscope profile"
        raise ArchscopeError(parameter("fit"), "needs measured profiles", remedy)
    named = ", ".join(dict.fromkeys(_profile(run).model for run in runs))
    return calibrated(
        observations, sheet, fitted(), by_kind=by_kind, source=f"own measurements of {named}"
    )


def profiles_of(runs: Sequence[str | PathLike[str] | Profile]) -> list[Saved]:
    """Measured profiles, read from their files where they are named by them.

    Raises:
        ArchscopeError: a file is not a saved record.
    """
    found = []
    for run in runs:
        record = saved(run if isinstance(run, Profile) else fspath(run))
        if record is None:
            raise ArchscopeError(
                str(run), "is not a saved profile", "save one with archscope profile"
            )
        found.append(record)
    return found


def _profile(run: Saved) -> Profile:
    record = run.record
    if not isinstance(record, Profile) or record.environment.device.startswith("cpu"):
        raise ArchscopeError(
            run.name, "is not a profile of a GPU", "save one with archscope profile or trace"
        )
    return record


def _require_one_device(runs: Sequence[Saved]) -> None:
    """Refuse to average over different models of GPU.

    Raises:
        ArchscopeError: naming the first profile of another device than the first one's.
    """
    names = [_device_name(_profile(run)) for run in runs]
    for run, name in zip(runs, names, strict=True):
        if name != names[0]:
            raise ArchscopeError(
                run.name, f"was measured on {name}, and {runs[0].name} on {names[0]}",
                "give profiles of one model of GPU",
            )  # fmt: skip


def _device_name(profile: Profile) -> str:
    facts = dict(profile.environment.facts)
    return facts.get("device name") or facts.get("data sheet", "an unnamed device")


def sheet_of(file: str, profile: Profile) -> Device:
    """The data sheet of the device that was measured.

    Raises:
        ArchscopeError: there is none.
    """
    facts = dict(profile.environment.facts)
    name = facts.get("data sheet") or facts.get("device name", "an unnamed device")
    try:
        return find_device(name)
    except ArchscopeError as error:
        problem, remedy = f"no data sheet is known for {name}", f"name one with {parameter('on')}"
        raise ArchscopeError(file, problem, remedy) from error


def setting_of(profile: Profile) -> Setting:
    """How a measured network ran."""
    facts = dict(profile.environment.facts)
    dtype = facts.get("network dtype", "float32")
    if facts.get("autocast"):
        dtype = "amp"
    layout = "nhwc" if facts.get("memory format") else "nchw"
    mode = "training" if _measures_training(profile) else "inference"
    return Setting(mode, dtype, layout, bool(facts.get("torch.compile")))


def _measures_training(profile: Profile) -> bool:
    return any("backward" in row.seconds for row in profile.layers) or "step" in profile.phases


def _observations(run: Saved, profile: Profile, device: Device) -> list[Observation]:
    setting = setting_of(profile)
    rates = Rates(device, setting, fitted())
    target = network_target(run)
    execution = executed(*target.called(), setting, rates.fused_attention).execution
    by_layer: dict[tuple[str, int, str], list[Kernel]] = defaultdict(list)
    for kernel in kernels(execution, setting.dtype, setting.compiled):
        layer = execution.layers[kernel.layer]
        by_layer[layer.name, layer.call, kernel.phase].append(kernel)
    total = sum(row.total_seconds for row in profile.layers if row.in_network)
    found = []
    for row in profile.layers:
        for phase in ("forward", "backward"):
            launched = by_layer.get((row.name, row.call, phase))
            seconds = row.seconds.get(phase, 0.0)
            if row.in_network and launched and seconds > SHORTEST_SHARE * total:
                weight = (seconds / total) ** 0.5
                found.append(Observation(tuple(launched), seconds, weight, setting))
    if not found:
        every = tuple(kernel for launched in by_layer.values() for kernel in launched)
        phase = "step" if setting.mode == "training" else "inference"
        if phase in profile.phases:
            found.append(Observation(every, profile.phases[phase].median, 1.0, setting))
    return found
