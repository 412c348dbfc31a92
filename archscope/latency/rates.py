"""Which of the fitted numbers hold for a device: its own, or those of the one nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from math import log2
from typing import Literal

from archscope.latency.coefficients import ANY, NEUTRAL, Efficiency, Fitted, Measured
from archscope.latency.devices import (
    Device,
    devices,
    has_tensor_cores,
    sustained,
    sustained_plain,
)
from archscope.latency.setting import Setting

Unit = Literal["tensor cores", "plain cores", "plain cores in half precision"]
"""What computes; without tensor cores, half precision is computed in float32 by other kernels."""


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
        self.layer = layer
        self.table = _closest(device, setting, given, layer)
        self._host: Measured | None = None
        self._known: dict[tuple[str, str, Unit], Efficiency] = {}

    @property
    def host(self) -> Measured | None:
        """The table whose host starts the kernels: the device's, unless another one was chosen."""
        return self._host or self.table

    @property
    def borrows_host(self) -> bool:
        """Whether another table's host starts the kernels."""
        return self.host is not self.table

    @property
    def shared_host(self) -> str:
        """Whose host starts the kernels of several devices; empty where each has its own."""
        if self._host is None:
            return ""
        return f"{_names(self._host.device, self.device)}, {self._host.software}"

    def hosted(self, host: Measured) -> Rates:
        """The same with the host of another table: its launches, and what a step takes besides."""
        found = copy(self)
        found._host = host
        return found

    def alone(self, layer: str) -> Rates:
        """Those of one kernel that runs alone, where single layers were measured.

        Elsewhere it has the rates of a network, without what a step of networks takes besides.
        The host's time is no part of either: layers are timed over many runs in a row.
        """
        rates = Rates(self.device, self.setting, self.given, layer)
        if rates.table is None and self.table is not None:
            rates.table = replace(self.table, step_seconds=0.0, host=0.0)
        return rates

    @property
    def measured(self) -> bool:
        """Whether this device was measured in this mode."""
        return self._own and self.table is not None and self.table.mode == self.setting.mode

    @property
    def _own(self) -> bool:
        return self.table is not None and self.table.device == self.device.key

    @property
    def interval(self) -> tuple[float, float]:
        """Measured over predicted seconds that 80 % of measurements lie between."""
        if self.table is None or not self.measured or (self.layer and not self.table.layers):
            return self.given.unmeasured_layers if self.layer else self.given.unmeasured
        return self.table.low, self.table.high

    @property
    def fused_attention(self) -> bool:
        """Whether attention is one kernel in the software that was measured: from torch 2 on."""
        known = self.table is not None and self._own and self.table.torch
        return not known or known >= (2,)

    @property
    def source(self) -> str:
        """What the numbers come from."""
        if self.table is None:
            return f"the data sheet of {self.device.name} and measurements on other devices"
        what = "layers" if self.table.layers else "measurements"
        where = _names(self.table.device, self.device)
        measured = f"{self.table.rows:,} {what} on {where}, {self.table.software}"
        if self._own:
            return measured
        return f"{measured}, by the ratio of its data sheet to that of {self.device.name}"

    @property
    def launch_seconds(self) -> float:
        return self.given.shape.launch_seconds * (self.table.launch if self.table else 1)

    @property
    def host_seconds(self) -> float:
        return self.given.shape.host_seconds * (self.host.host if self.host else 1)

    @property
    def step_seconds(self) -> float:
        """What every step takes besides its kernels."""
        return self.host.step_seconds if self.host else 0.0

    def nearest(self, kind: str) -> str:
        """The kind itself, or whose efficiency stands for one that no table holds."""
        if kind in self.given.kinds:
            return kind
        return LIKE.get(kind, "elementwise")

    def name(self, kind: str, order: str) -> str:
        """Of the factors of a kind of work, which hang on the order of images for some."""
        return f"{kind} nhwc" if order == "nhwc" and kind in self.given.last else kind

    def misaligned(self, kind: str, order: str) -> float:
        """Factor of arithmetic on tensor cores where sides are not divisible by 8."""
        known = self.given.shape.misaligned
        return known.get(self.name(kind, order), known[ANY])

    def efficiency(self, kind: str, order: str, unit: Unit) -> Efficiency:
        """Of a kind of work on images in an order, on units of the device."""
        key = kind, order, unit
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._efficiency(*key)
        return found

    def _efficiency(self, kind: str, order: str, unit: Unit) -> Efficiency:
        given = self.given
        own = given.devices.get(self.table.device if self.table else self.device.key, {})
        found = given.kinds[kind]
        name = self.name(kind, order)
        if name != kind:
            found = found.times(given.last[kind])
        if unit != "tensor cores":
            found = found.times(given.plain.get(kind, NEUTRAL))
        if unit == "plain cores in half precision":
            found = found.times(given.half.get(kind, NEUTRAL))
        found = found.times(own.get(ANY, NEUTRAL)).times(own.get(name, NEUTRAL))
        if self.table is not None:
            found = found.times(self.table.kinds.get(ANY, NEUTRAL))
            found = found.times(self.table.kinds.get(name, NEUTRAL))
            if not self._own:
                found = found.times(Efficiency(self._powered(self.table, unit)))
        return found

    def _powered(self, lent: Measured, unit: Unit) -> float:
        """Rate of a unit's arithmetic over its peak, beside that of the device that lends."""
        if unit == "tensor cores":
            return self._products(lent)
        return sustained_plain(self.device) / sustained_plain(devices()[lent.device])

    def as_own(self) -> Measured:
        """The table that makes this device, without factors of its own, what it is here."""
        table, setting = self.table, self.setting
        if table is None:
            return Measured(
                self.device.key, setting.mode, setting.dtype, setting.compiled, "torch 2", 0, "",
                1.0, 1.0, 0.0, {}, *self.given.unmeasured,
            )  # fmt: skip
        theirs = self.given.devices.get(table.device, {})
        kinds = {
            name: theirs.get(name, NEUTRAL).times(table.kinds.get(name, NEUTRAL))
            for name in (*theirs, *table.kinds, ANY)
        }
        if not self._own:
            plain = self.setting.dtype in ("float32", "tf32")
            unit: Unit = "plain cores" if plain else "tensor cores"
            kinds[ANY] = kinds[ANY].times(Efficiency(self._powered(table, unit)))
        return replace(table, device=self.device.key, kinds=kinds)

    def _products(self, lent: Measured) -> float:
        """Rate of matrix products over the peak, beside that of the device that lends.

        As measured on the chip itself, or else as the power of both allows.
        """
        other = devices()[lent.device]
        own = next((f for key, f in self.given.devices.items() if self._same_chip(key)), None)
        if own is None or PRODUCT not in own:
            return sustained(self.device) / sustained(other)
        theirs = self.given.devices[lent.device]
        lenders = theirs[ANY].compute * theirs.get(PRODUCT, NEUTRAL).compute
        for name in (ANY, PRODUCT):
            lenders *= lent.kinds.get(name, NEUTRAL).compute
        return own[ANY].compute * own[PRODUCT].compute / lenders

    def _same_chip(self, key: str) -> bool:
        other = devices().get(key)
        return other is not None and (
            other.architecture == self.device.architecture
            and other.compute_units == self.device.compute_units
            and other.peak("float16") == self.device.peak("float16")
        )


def on_one_host(given: Sequence[Rates]) -> list[Rates]:
    """The same devices on one host, so that their order is that of the devices.

    How fast kernels are started belongs to the host: in NVIDIA's tables, ResNet-50 in AMP takes
    12.96 ms on a T4 and 12.78 ms on a V100 for one image. The host is that of the table with the
    newest software, whichever the devices, so that times do not depend on what else is compared.

    Args:
        given: of several devices in one setting.
    """
    if len({(rates.host_seconds, rates.step_seconds) for rates in given}) < 2:
        return list(given)
    setting = given[0].setting
    alike = [
        table for table in given[0].given.measured
        if not table.layers
        and (table.mode, table.compiled) == (setting.mode, setting.compiled)
    ]  # fmt: skip
    newest = max(alike, key=lambda table: (table.torch, table.rows), default=None)
    return [rates.hosted(newest) if newest else rates for rates in given]


LIKE = {
    "attention_backward": "attention",
    "masked_attention_backward": "masked_attention",
    "convolution_transposed": "convolution_strided_input_gradient",
    "convolution_transposed_input_gradient": "convolution_strided",
    "convolution_transposed_weight_gradient": "convolution_strided_weight_gradient",
}
"""Kinds whose kernels are those of another kind, or nearest to them, where no table holds them.

A transposed convolution is the gradient of the input of the convolution with the same weight, and
the other way round.
"""

PRODUCT = "linear"
"""The kind whose rate stands for that of all matrix products."""


FEWEST_LENT = 20
"""Measurements of networks from which another device may borrow."""

MANY = 200
"""Measurements of networks that make a table reliable for kinds of work that few networks hold."""

GENERATIONS = {
    "nvidia": ("maxwell", "pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell"),
    "amd": ("gcn5", "cdna", "cdna2", "cdna3", "cdna4"),
}
"""Architectures in the order of their years."""


def _closest(device: Device, setting: Setting, given: Fitted, layer: str) -> Measured | None:
    """The last table that ran most alike, of this device or else of the one nearest to it."""
    rows = [row for row in given.measured if (layer in row.layers if layer else not row.layers)]
    own = [row for row in rows if row.device == device.key]
    lent = [row for row in rows if row.rows >= FEWEST_LENT and _is_similar(device, row.device)]

    def likeness(row: Measured) -> tuple[float | bool, ...]:
        distance, dtype = -_distance(device, row), float(row.dtype == setting.dtype)
        if row.device == device.key and {row.dtype, setting.dtype} <= IN_HALF:
            dtype = max(dtype, 0.5)
        nearest = (dtype, distance) if layer else (distance, dtype)
        return (row.mode == setting.mode, row.compiled == setting.compiled, *nearest)

    return max(reversed([*lent, *own]), key=likeness, default=None)


IN_HALF = frozenset(("amp", "float16", "bfloat16"))
"""Precisions whose products are in half: a device's own table of one serves for another."""


def _is_similar(device: Device, key: str) -> bool:
    """Whether a device may borrow from another: of one vendor, both with tensor cores or not."""
    other = devices().get(key)
    if other is None or other.vendor != (device.vendor or "nvidia"):
        return False
    return has_tensor_cores(other) == has_tensor_cores(device)


def _distance(device: Device, row: Measured) -> float:
    """How far a table is from a device: in generations, then in operations a byte.

    A table of few networks counts as another generation: its factors are mostly those of others.
    """
    if row.device == device.key:
        return -1
    other = devices()[row.device]
    years = GENERATIONS[other.vendor]
    apart = abs(years.index(device.architecture) - years.index(other.architecture))
    balance = log2(_operations_a_byte(device) / _operations_a_byte(other))
    return apart + (row.rows < MANY) + abs(balance) / 8


def _operations_a_byte(device: Device) -> float:
    return device.peak("float16") / device.bandwidth_bytes_per_second


def _names(key: str, device: Device) -> str:
    found = device if key == device.key else devices().get(key)
    return found.name if found else key
