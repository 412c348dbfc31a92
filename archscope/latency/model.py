"""Kernels and a device → seconds: amounts of work times what the device needs for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from archscope.errors import ArchscopeError
from archscope.latency.devices import Device
from archscope.latency.kernels import Kernel

COMPUTE = frozenset(("flops", "mn", "mk", "nk"))
"""Amounts that are divided by the peak rate of arithmetic; the others but launches by bandwidth."""


@dataclass(frozen=True)
class Setting:
    """How a network runs, besides network, input and device.

    Args:
        mode: `inference` or `training`.
        dtype: `float32`, `float16`, `bfloat16` or `amp`.
        layout: `nchw` or `nhwc` (channels last).
        compiled: whether `torch.compile` fuses its operators.
    """

    mode: str = "inference"
    dtype: str = "amp"
    layout: str = "nchw"
    compiled: bool = False


@dataclass(frozen=True)
class Coefficients:
    """What was fitted on one device in one setting.

    Args:
        device: key of the device that was measured.
        setting: under which.
        slowdown: of every kind's amounts, over the time at the peaks of the data sheet; for
            launches, seconds.
        low, high: the 80 % interval of the measured over the predicted time.
        rows: how many measurements it was fitted on.
        source: which.
    """

    device: str
    setting: Setting
    slowdown: Mapping[str, Mapping[str, float]]
    low: float
    high: float
    rows: int
    source: str


@cache
def fitted() -> tuple[Coefficients, ...]:
    """Everything fitted, as the package holds it."""
    text = resources.files("archscope.latency").joinpath("coefficients.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return tuple(Coefficients(**{**row, "setting": Setting(**row["setting"])}) for row in rows)


def coefficients(device: Device, setting: Setting) -> Coefficients:
    """Those of the device, or of the most alike one that was measured in this setting.

    Raises:
        ArchscopeError: nothing was measured in this setting.
    """
    known = [row for row in fitted() if row.setting == setting]
    if not known:
        settings = ", ".join(dict.fromkeys(row.setting.dtype for row in fitted()))
        raise ArchscopeError(
            "dtype", f"no device was measured in {setting}", f"use one of {settings}"
        )
    own = [row for row in known if row.device == device.key]
    return (own or known)[0]


def seconds(kernel: Kernel, device: Device, given: Coefficients) -> tuple[float, float, float]:
    """Compute, memory and launch seconds of one kernel."""
    factors = given.slowdown.get(kernel.kind, {})
    compute = memory = launch = 0.0
    peak = peak_flops(device, kernel.dtype)
    for name, amount in kernel.amounts.items():
        factor = factors.get(name, 0.0)
        if name == "launches":
            launch += amount * factor
        elif name in COMPUTE:
            compute += amount * factor / peak
        else:
            memory += amount * factor / device.bandwidth_bytes_per_second
    return compute, memory, launch


def peak_flops(device: Device, dtype: str) -> float:
    """Operations a second at most in a dtype."""
    rates = device.peak_flops_per_second
    return rates.get(dtype) or rates.get("float32", 1)


def totals(
    kernels: Iterable[Kernel], device: Device, given: Coefficients
) -> Iterator[tuple[Kernel, float, float, float]]:
    """Each kernel with its compute, memory and launch seconds."""
    for kernel in kernels:
        yield kernel, *seconds(kernel, device, given)
