"""What a device can do at most, from its data sheet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter


@dataclass(frozen=True)
class Device:
    """A device's data sheet.

    Args:
        key: short name, such as `rtx4090`.
        name: as its vendor writes it.
        vendor: `nvidia`, `amd`, or empty where only rates are known.
        architecture: of its cores, such as `ada`.
        compute_units: streaming multiprocessors, or compute units.
        boost_clock_hz: clock at which the peaks are reached.
        bandwidth_bytes_per_second: of its memory.
        memory_bytes: size of its memory.
        l2_bytes: size of its last cache.
        peak_flops_per_second: dense rates by dtype; float16 with sums in float32; `tf32` where
            float32 products may be rounded, or have matrix cores of their own.
        source: where the numbers come from.
        aliases: other names, in small letters and digits.
        note: what to know about the rates.
    """

    key: str
    name: str
    vendor: str
    architecture: str
    compute_units: int
    boost_clock_hz: int
    bandwidth_bytes_per_second: int
    memory_bytes: int
    l2_bytes: int
    peak_flops_per_second: Mapping[str, int]
    source: str
    aliases: tuple[str, ...] = ()
    note: str = ""

    def peak(self, dtype: str) -> float:
        """Operations a second at most in a dtype; that of float32 where it has no rate."""
        rates = self.peak_flops_per_second
        return rates.get(dtype) or rates["float32"]


@cache
def devices() -> Mapping[str, Device]:
    """Every device with a data sheet, by its key."""
    text = resources.files("archscope.latency").joinpath("devices.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return {row["key"]: Device(**{**row, "aliases": tuple(row["aliases"])}) for row in rows}


def find_device(name: str) -> Device:
    """The device of a name as its vendor, its driver or its users write it.

    Raises:
        ArchscopeError: no device of that name has a data sheet here.
    """
    names = _names()
    plain = _plain(name)
    if plain in names:
        return devices()[names[plain]]
    near = dict.fromkeys(names[close] for close in get_close_matches(plain, names, 6, 0.5))
    remedy = (
        f"did you mean {' or '.join([*near][:3])}?"
        if near
        else f"use one of {', '.join(devices())}"
    )
    raise ArchscopeError(parameter("device"), f"unknown device {name!r}", remedy)


@cache
def _names() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for device in devices().values():
        for name in (device.key, device.name, *device.aliases):
            found.setdefault(_plain(name), device.key)
    return found


def _plain(name: str) -> str:
    """Small letters and digits alone, without the vendor."""
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    for vendor in ("nvidia", "amd"):
        letters = letters.removeprefix(vendor)
    return letters
