"""What was fitted on public measurements: one data file.

An efficiency is the rate that is reached over that of the data sheet.
It is a product: that of the kind of work, times a factor where images are channels last, times one
where arithmetic runs outside of tensor cores, times that of the device, times that of the software.
What was not measured has the factor 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple


class Efficiency(NamedTuple):
    """Rates of one kind of work over those of the data sheet.

    Args:
        compute: of arithmetic.
        memory: of moving bytes.
    """

    compute: float = 1.0
    memory: float = 1.0

    def times(self, other: Efficiency) -> Efficiency:
        return Efficiency(self.compute * other.compute, self.memory * other.memory)


Efficiencies = Mapping[str, Efficiency]

NEUTRAL = Efficiency()

ANY = "*"
"""Key of the factors of a device that hold for every kind of work."""


@dataclass(frozen=True)
class Shape:
    """How the time of a kernel hangs on its shape, alike on all devices.

    Args:
        overlap: exponent p of (compute^p + memory^p)^(1/p): 1 adds them, ∞ takes the longer one.
        host_overlap: likewise of the device's and the host's time of a step.
        cache_gain: bandwidth of the last cache over that of memory.
        cache_share: part of the last cache that keeps what the kernel before wrote.
        serial_seconds: of one step that waits for the one before.
        launch_seconds: of a kernel that does nothing.
        host_seconds: between two kernels that the host starts.
        winograd: arithmetic of Winograd's algorithm over that of a product of its size, by kind.
        winograd_traffic: bytes of its transforms over those of a product of its size, by kind.
        misaligned: factor of arithmetic where sides are not divisible by 8, by kind; `*` where
            that was not measured.
        depth: elements of the sum by which a product's start and end are longer, by kind.
        idle: how much longer a product takes that has fewer tiles than the device has units, by
            kind: units ÷ tiles to this power, from 0 (the sum is split among all) to 1 (they wait).
    """

    overlap: float
    host_overlap: float
    cache_gain: float
    cache_share: float
    serial_seconds: float
    launch_seconds: float
    host_seconds: float
    winograd: Mapping[str, float]
    winograd_traffic: Mapping[str, float]
    misaligned: Mapping[str, float]
    depth: Mapping[str, float]
    idle: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """What one table of measurements adds on one device.

    Args:
        device: key of the device.
        mode, dtype, compiled: how its networks ran.
        software: versions, such as `torch 2.4.0, CUDA 12.4`.
        rows: how many measurements.
        source: where they were published.
        launch, host: factors of the seconds of launches.
        step_seconds: of every step besides, such as waiting for the device.
        kinds: factors of efficiencies.
        low, high: the 80 % interval of measured over predicted seconds, on families of networks
            that the fit had not seen.
        layers: the kinds of single layers that were measured; empty for networks.
    """

    device: str
    mode: str
    dtype: str
    compiled: bool
    software: str
    rows: int
    source: str
    launch: float
    host: float
    step_seconds: float
    kinds: Efficiencies
    low: float
    high: float
    layers: tuple[str, ...] = ()

    @property
    def torch(self) -> tuple[int, ...]:
        """Version of PyTorch; empty where it is unknown."""
        version = self.software.partition("torch ")[2].partition(",")[0]
        return tuple(int(part) for part in version.split(".") if part)


@dataclass(frozen=True)
class Fitted:
    """All that was fitted.

    Args:
        shape: see `Shape`.
        kinds: efficiencies in half precision on tensor cores.
        last: factors of `kinds` where images are channels last.
        plain: factors of `kinds` outside of tensor cores.
        half: factors of `plain` in half precision.
        devices: factors by device.
        measured: the tables behind them.
        unmeasured: the 80 % interval on a device that no table holds.
        unmeasured_layers: that of a kernel alone, where no table of layers holds it.
        calibrated: that on such a device after a network was measured there.
    """

    shape: Shape
    kinds: Efficiencies
    last: Efficiencies
    plain: Efficiencies
    half: Efficiencies
    devices: Mapping[str, Efficiencies]
    measured: tuple[Measured, ...]
    unmeasured: tuple[float, float]
    unmeasured_layers: tuple[float, float]
    calibrated: tuple[float, float]


@cache
def fitted() -> Fitted:
    """What the package holds."""
    text = resources.files("archscope.latency").joinpath("coefficients.json").read_text("utf-8")
    return parsed(json.loads(text))


def parsed(data: Mapping[str, Any]) -> Fitted:
    """The same from JSON."""
    return Fitted(
        Shape(**data["shape"]),
        _efficiencies(data["kinds"]),
        _efficiencies(data["last"]),
        _efficiencies(data["plain"]),
        _efficiencies(data["half"]),
        {key: _efficiencies(kinds) for key, kinds in data["devices"].items()},
        tuple(map(read_table, data["measured"])),
        tuple(data["unmeasured"]),
        tuple(data["unmeasured_layers"]),
        tuple(data["calibrated"]),
    )


def read_table(row: Mapping[str, Any]) -> Measured:
    """One table from JSON."""
    layers = tuple(row.get("layers", ()))
    return Measured(**{**row, "kinds": _efficiencies(row["kinds"]), "layers": layers})


def _efficiencies(rows: Mapping[str, Any]) -> Efficiencies:
    return {kind: Efficiency(*row) for kind, row in rows.items()}
