"""Measured profiles of a device → its own factors, for predictions on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath

from archscope.ask.predict import executed
from archscope.ask.target import Target, network_target
from archscope.ask.trace.profile import traced
from archscope.errors import ArchscopeError
from archscope.files import is_pipe
from archscope.latency.calibration import Calibrated, Observation, calibrated
from archscope.latency.coefficients import fitted
from archscope.latency.devices import Device, devices, find_device
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.latency.rates import Rates
from archscope.latency.setting import Setting
from archscope.parameters import parameter
from archscope.records import Profile
from archscope.saved.record import Saved, saved
from archscope.traces.chrome import is_trace


@dataclass(frozen=True)
class SavedTrace(Saved):
    """The profile of a trace, with the network that was traced."""

    network: Target


SHORTEST_SHARE = 1e-3
"""Layers that take less of the step are left out."""


def calibrate(runs: Sequence[Saved], device: Device | None, *, by_kind: bool) -> Calibrated:
    """Find the factors of the device on which networks were measured.

    Args:
        runs: measured profiles, or those read from traces.
        device: its data sheet; that of the name in the profiles when `None`.
        by_kind: whether each kind of work gets factors of its own.

    Raises:
        ArchscopeError: a file is no profile of a GPU, two are of different models of GPU, one is
            of another GPU than the data sheet's, the network cannot be built from its name, or its
            device has no data sheet.
    """
    _require_one_device(runs)
    observations: list[Observation] = []
    sheet = device
    for run in runs:
        profile = _profile(run)
        if device is not None:
            _require_measured_on(device, run.name, profile)
        sheet = sheet or sheet_of(run.name, profile)
        observations += _observations(run, profile, sheet)
    if sheet is None or not observations:
        remedy = "save one with archscope profile"
        raise ArchscopeError(parameter("fit"), "needs measured profiles", remedy)
    return calibrated(observations, sheet, fitted(), by_kind=by_kind, source=_source(runs))


def _source(runs: Sequence[Saved]) -> str:
    profiles = [_profile(run) for run in runs]
    named = ", ".join(dict.fromkeys(profile.model for profile in profiles))
    traces = any("trace" in dict(profile.environment.facts) for profile in profiles)
    idle = ", time in which the GPU waits left out" if traces else ""
    return f"own measurements of {named}{idle}"


def profiles_of(
    runs: Sequence[str | PathLike[str] | Profile], networks: Sequence[Target] = ()
) -> list[Saved]:
    """Measured profiles, read from their files where they are named by them.

    Args:
        runs: profiles, or files of profiles or of traces.
        networks: those that the traces may be of.

    Raises:
        ArchscopeError: a file is neither a saved record nor a trace of one of the networks.
    """
    return [_run(run, networks) for run in runs]


def _run(run: str | PathLike[str] | Profile, networks: Sequence[Target]) -> Saved:
    if isinstance(run, Profile):
        return Saved(run.model, run)
    path = fspath(run)
    if is_pipe(path):
        raise ArchscopeError(path, "is a pipe, which can be read only once", "save it as a file")
    if is_trace(path):
        return _of_trace(path, networks)
    record = saved(path)
    if record is None:
        raise ArchscopeError(
            path, "is not a saved profile or a trace", "save one with archscope profile"
        )
    return record


def _of_trace(path: str, networks: Sequence[Target]) -> Saved:
    """A trace with the first network that its operators are of."""
    problem = "is a trace"
    for network in networks:
        found = _aligned(path, network)
        if isinstance(found, Saved):
            return found
        problem = f"is not a trace of {network.name}: {found.partition(': ')[2] or found}"
    if networks[1:]:
        problem = "is a trace of none of these networks"
    remedy = f"trace it with {parameter('model', 'NETWORK')} and give the profile that this saves"
    raise ArchscopeError(path, problem, remedy)


def _aligned(path: str, network: Target) -> SavedTrace | str:
    """A trace as a profile of a network, at the batch that was traced; or why it is not one."""
    try:
        profile = traced(path, replace(network, batch=None)).profile
    except ArchscopeError as error:
        return error.problem
    return SavedTrace(path, profile, replace(network, batch=profile.input.batch))


def _profile(run: Saved) -> Profile:
    record = run.record
    if not isinstance(record, Profile) or record.environment.device.startswith("cpu"):
        raise ArchscopeError(
            run.name,
            "is not a profile of a GPU",
            "save one with archscope profile or trace",
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
                run.name,
                f"was measured on {name}, and {runs[0].name} on {names[0]}",
                "give profiles of one model of GPU",
            )  # fmt: skip


def _require_measured_on(device: Device, file: str, profile: Profile) -> None:
    """Refuse a profile that names a GPU other than the one it should correct.

    A device that only its rates describe has no name to differ from, and one without a data sheet
    is taken as the user says.

    Raises:
        ArchscopeError: it names another one.
    """
    facts = dict(profile.environment.facts)
    names = [facts[fact] for fact in ("device name", "data sheet") if fact in facts]
    sheets = [sheet for name in names for sheet in _known(name)]
    if device.key in devices() and sheets and device not in sheets:
        raise ArchscopeError(
            file,
            f"was measured on {names[0]}, not on {device.name}",
            f"name {sheets[0].key} as the GPU, or give a profile of {device.name}",
        )


def _known(name: str) -> tuple[Device, ...]:
    try:
        return (find_device(name),)
    except ArchscopeError:
        return ()


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
    target = run.network if isinstance(run, SavedTrace) else network_target(run)
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
