"""What a table or chart of a Profile is of: network, batch, device, and how sure its times are."""

from __future__ import annotations

from collections.abc import Iterable

from archscope import units
from archscope.records import Measurement, Profile
from archscope.wording import network_title


def knows_batch(profile: Profile) -> bool:
    """Whether it says of how many samples a step is; a trace may not."""
    return bool(profile.input.tensors) and profile.environment.fact("batch") != "unknown"


def throughput(profile: Profile, phase: str) -> float | None:
    """Samples per second of a phase; `None` where the batch is unknown."""
    return profile.throughput(phase) if knows_batch(profile) else None


def speed(profile: Profile, phase: str) -> str:
    """`180 samples/s`, or the phase's median where the batch is unknown."""
    samples = throughput(profile, phase)
    median = units.seconds(profile.phases[phase].median)
    return median if samples is None else f"{units.rate(samples)} samples/s"


def subject(profile: Profile) -> str:
    """The network with its settings, and its batch where that is known."""
    name = network_title(profile.model, profile.keywords)
    return f"{name}, batch {profile.input.batch}" if knows_batch(profile) else name


ERRORS = "Whiskers: 95 % interval of the median."


def interval(measurement: Measurement) -> tuple[float, float] | None:
    """That of the median, `None` where the runs are too few for one."""
    known = measurement.known_half_width is not None
    return (measurement.median_low, measurement.median_high) if known else None


def measured_where(profiles: Iterable[Profile]) -> str:
    """`batch 2 on AMD EPYC`, each once where profiles differ."""
    return "; ".join(dict.fromkeys(f"batch {p.input.batch} on {device_name(p)}" for p in profiles))


def device_name(profile: Profile) -> str:
    """The model of the device, `NVIDIA A100-SXM4-80GB`; else what PyTorch calls it, `cuda:0`."""
    return profile.environment.fact("device name") or profile.environment.device


def heading(profile: Profile) -> str:
    """What was measured, in which dtype, on what."""
    device = device_name(profile)
    dtype = profile.environment.fact("network dtype")
    cast = profile.environment.fact("autocast")
    if cast:
        dtype = f"{dtype}, autocast to {cast}"
    within = f", {dtype}" if dtype else ""
    name = network_title(profile.model, profile.keywords)
    input = f", input {profile.input}" if knows_batch(profile) else ""
    return f"{name}{within}{input}, on {device}"
