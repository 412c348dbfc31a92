"""What was fitted on public measurements: one data file, and which of it holds for a device.

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

from archscope.latency.devices import Device
from archscope.latency.setting import Setting


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


@dataclass(frozen=True)
class Shape:
    """How the time of a kernel hangs on its shape, alike on all devices.

    Args:
        overlap: exponent p of (compute^p + memory^p)^(1/p): 1 adds them, ∞ takes the longer one.
        host_overlap: likewise of the device's and the host's time of a step.
        misaligned: factor of arithmetic where sides are not divisible by 8.
        cache_gain: bandwidth of the last cache over that of memory.
        cache_share: part of the last cache that keeps what the kernel before wrote.
        serial_seconds: of one step that waits for the one before.
        launch_seconds: of a kernel that does nothing.
        host_seconds: between two kernels that the host starts.
        winograd: arithmetic of Winograd's algorithm over that of a product of its size.
        winograd_traffic: bytes of its transforms over those of a product of its size.
        depth: elements of the sum by which a product's start and end are longer, by kind.
    """

    overlap: float
    host_overlap: float
    misaligned: float
    cache_gain: float
    cache_share: float
    serial_seconds: float
    launch_seconds: float
    host_seconds: float
    winograd: float
    winograd_traffic: float
    depth: Mapping[str, float]


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
        """Version of PyTorch."""
        version = self.software.partition("torch ")[2].partition(",")[0]
        return tuple(int(part) for part in version.split("."))


@dataclass(frozen=True)
class Fitted:
    """All that was fitted.

    Args:
        shape: see `Shape`.
        kinds: efficiencies in half precision on tensor cores.
        last: factors of `kinds` where images are channels last.
        plain: factors of `kinds` outside of tensor cores.
        devices: factors by device.
        measured: the tables behind them.
        unmeasured: the 80 % interval on a device that no table holds.
    """

    shape: Shape
    kinds: Efficiencies
    last: Efficiencies
    plain: Efficiencies
    devices: Mapping[str, Efficiencies]
    measured: tuple[Measured, ...]
    unmeasured: tuple[float, float]


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
        {key: _efficiencies(kinds) for key, kinds in data["devices"].items()},
        tuple(
            Measured(
                **{
                    **row,
                    "kinds": _efficiencies(row["kinds"]),
                    "layers": tuple(row.get("layers", ())),
                }
            )
            for row in data["measured"]
        ),
        (data["unmeasured"][0], data["unmeasured"][1]),
    )


def _efficiencies(rows: Mapping[str, Any]) -> Efficiencies:
    return {kind: Efficiency(*row) for kind, row in rows.items()}


class Rates:
    """The efficiencies of one device in one setting.

    Args:
        device: its data sheet.
        setting: how the network runs.
        given: what was fitted.
        layer: kind of the one kernel that runs alone; empty for a network.
    """

    def __init__(self, device: Device, setting: Setting, given: Fitted, layer: str = "") -> None:
        self.device = device
        self.setting = setting
        self.given = given
        self.table = _closest(device, setting, given, layer)
        self._known: dict[tuple[str, str, bool], Efficiency] = {}

    def alone(self, layer: str) -> Rates:
        """Those of one kernel that runs alone, where single layers were measured."""
        rates = Rates(self.device, self.setting, self.given, layer)
        return rates if rates.table is not None else self

    @property
    def measured(self) -> bool:
        """Whether this device was measured in this mode."""
        return self.table is not None and self.table.mode == self.setting.mode

    @property
    def interval(self) -> tuple[float, float]:
        """Measured over predicted seconds that 80 % of measurements lie between."""
        if self.table is None or not self.measured:
            return self.given.unmeasured
        return self.table.low, self.table.high

    @property
    def fused_attention(self) -> bool:
        """Whether attention is one kernel in the software that was measured: from torch 2 on."""
        return not self.measured or self.table is None or self.table.torch >= (2,)

    @property
    def source(self) -> str:
        """What the numbers come from."""
        if self.table is None:
            return f"the data sheet of {self.device.name} and measurements on other devices"
        what = "layers" if self.table.layers else "measurements"
        return f"{self.table.rows:,} {what} on {self.device.name}, {self.table.software}"

    @property
    def launch_seconds(self) -> float:
        return self.given.shape.launch_seconds * (self.table.launch if self.table else 1)

    @property
    def host_seconds(self) -> float:
        return self.given.shape.host_seconds * (self.table.host if self.table else 1)

    @property
    def step_seconds(self) -> float:
        """What every step takes besides its kernels."""
        return self.table.step_seconds if self.table else 0.0

    def efficiency(self, kind: str, order: str, tensor_cores: bool) -> Efficiency:
        """Of a kind of work on images in an order, on tensor cores or not."""
        key = kind, order, tensor_cores
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._efficiency(*key)
        return found

    def _efficiency(self, kind: str, order: str, tensor_cores: bool) -> Efficiency:
        given = self.given
        own = given.devices.get(self.device.key, {})
        found = given.kinds.get(kind, given.kinds["elementwise"])
        name = f"{kind} nhwc" if order == "nhwc" else kind
        if order == "nhwc":
            found = found.times(given.last.get(kind, NEUTRAL))
        if not tensor_cores:
            found = found.times(given.plain.get(kind, NEUTRAL))
        found = found.times(own.get(ANY, NEUTRAL)).times(own.get(name, NEUTRAL))
        if self.table is not None:
            found = found.times(self.table.kinds.get(name, NEUTRAL))
        return found


ANY = "*"
"""Key of the factors of a device that hold for every kind of work."""


def _closest(device: Device, setting: Setting, given: Fitted, layer: str) -> Measured | None:
    """The last table of a device that ran most alike; `None` where none was measured."""
    own = [
        row
        for row in given.measured
        if row.device == device.key and (layer in row.layers if layer else not row.layers)
    ]

    def likeness(row: Measured) -> tuple[bool, bool, bool]:
        return (
            row.mode == setting.mode,
            row.compiled == setting.compiled,
            row.dtype == setting.dtype,
        )

    return max(reversed(own), key=likeness, default=None)
