"""What a device can do at most, from its data sheet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.units import si


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
        watts: power that its board may draw.
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
    watts: int
    peak_flops_per_second: Mapping[str, int]
    source: str
    aliases: tuple[str, ...] = ()
    note: str = ""

    def peak(self, dtype: str) -> float:
        """Operations a second at most in a dtype; that of float32 where it has no rate."""
        rates = self.peak_flops_per_second
        return rates.get(dtype) or rates["float32"]


TENSOR_CORES = frozenset(
    ("volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna", "cdna2", "cdna3", "cdna4")
)
"""Architectures with units for matrix products in half precision."""


def has_tensor_cores(device: Device) -> bool:
    """Whether products in half precision have units of their own."""
    return device.architecture in TENSOR_CORES


ENOUGH_JOULES = 2.5e-12
POWER_EXPONENT = 0.4
"""Power for each operation a second that lets tensor cores run at their highest clock, and how the
clock falls with less.

The clock of a chip at its power limit goes with less than the square root of the power, since the
voltage falls too. Matrix products on L40S and RTX PRO 6000 beside an RTX 4090, which has enough
(aiconfigurator's tables, 0.97 and 1.28 pJ): 0.60 and 0.73; by this rule 0.68 and 0.77.
"""


def sustained(device: Device) -> float:
    """Rate of products in half precision that its power allows, over the peak."""
    joules = device.watts / device.peak("float16")
    return float(min(1.0, joules / ENOUGH_JOULES) ** POWER_EXPONENT)


ENOUGH_PLAIN_JOULES = {
    "pascal": 20e-12, "ampere": 10e-12, "ada": 5e-12, "hopper": 5e-12, "blackwell": 5e-12,
}  # fmt: skip
"""Likewise of an operation in float32, by the process that an architecture's chips are made in.

About what the cards have that reach their peak: TITAN Xp 21 pJ, RTX 3090 9.8, RTX 4090 5.4. A P4
of 75 W, with 14 pJ, multiplies at 0.38 to 0.55 of its peak where other Pascal cards reach 0.73 to
0.99 (NeuSight's and DeepBench's tables). Turing's T4 falls behind in single layers and not in
networks, so its architecture has no entry.
"""


def sustained_plain(device: Device) -> float:
    """Rate of arithmetic in float32 that its power allows, over the peak."""
    enough = ENOUGH_PLAIN_JOULES.get(device.architecture)
    joules = device.watts / device.peak_flops_per_second["float32"]
    return float(min(1.0, joules / enough) ** POWER_EXPONENT) if enough else 1.0


def from_rates(peak: float, bandwidth: float, dtype: str) -> Device:
    """A device of which only two rates are known; the rest is as usual for a GPU of its speed.

    Args:
        peak: operations a second in `dtype`.
        bandwidth: bytes a second of its memory.
        dtype: the precision that the peak is of.
    """
    half = dtype not in ("float32", "tf32")
    plain = peak / USUAL_TENSOR_GAIN if half else peak
    rates = {"float32": int(plain), "float16": int(peak if half else peak * USUAL_TENSOR_GAIN)}
    rates |= {"tf32": int(rates["float16"] / 2), "bfloat16": rates["float16"]}
    return Device(
        key="own",
        name=f"GPU of {si(peak)}FLOP/s and {si(bandwidth)}B/s",
        vendor="",
        architecture="hopper",
        compute_units=USUAL_UNITS,
        boost_clock_hz=0,
        bandwidth_bytes_per_second=int(bandwidth),
        memory_bytes=0,
        l2_bytes=USUAL_CACHE,
        watts=int(rates["float16"] * USUAL_JOULES),
        peak_flops_per_second=rates,
        source="the rates given",
    )


USUAL_TENSOR_GAIN = 8
USUAL_UNITS = 108
USUAL_CACHE = 40 * 2**20
USUAL_JOULES = 1.28e-12
"""Half precision over float32, units, last cache and power an operation where nobody says: about
those of an A100."""


@cache
def devices() -> Mapping[str, Device]:
    """Every device with a data sheet, by its key."""
    text = resources.files("archscope.latency").joinpath("devices.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return {row["key"]: Device(**{**row, "aliases": tuple(row["aliases"])}) for row in rows}


def find_device(name: str, given: str = "device") -> Device:
    """The device of a name as its vendor, its driver or its users write it.

    Args:
        name: such as `rtx4090` or `NVIDIA GeForce RTX 4090`.
        given: the parameter that held it.

    Raises:
        ArchscopeError: no device of that name has a data sheet here.
    """
    if not isinstance(name, str) or "," in name:
        one = (name if isinstance(name, str) else str(next(iter(name), "h100"))).split(",")[0]
        remedy = f"name one, such as {parameter(given, one)}"
        raise ArchscopeError(parameter(given, name), "is more than one GPU", remedy)
    names = _names()
    plain = _plain(name)
    key = names.get(plain) or _with_memory(name)
    if key:
        return devices()[key]
    near = dict.fromkeys(names[close] for close in get_close_matches(plain, names, 6, 0.5))
    remedy = f"did you mean {' or '.join([*near][:3])}?" if near else "see archscope devices"
    raise ArchscopeError(parameter(given), f"unknown device {name!r}", remedy)


def matching_devices(pattern: str) -> list[Device]:
    """The devices whose name holds a text.

    Args:
        pattern: such as `rtx` or `hopper`, in a name or in the architecture; all when empty.

    Raises:
        ArchscopeError: none does.
    """
    plain = _plain(pattern)
    found = [
        device
        for device in devices().values()
        if any(plain in _plain(text) for text in (device.key, device.name, device.architecture))
    ]
    return found or [find_device(pattern, "device")]


def _with_memory(name: str) -> str:
    """The key of a device whose name ends with the size of its memory; empty for none."""
    found = re.fullmatch(r"(.*\D)\b(\d+) ?gi?b", name.strip(), re.IGNORECASE)
    key = _names().get(_plain(found[1]), "") if found else ""
    if not found or not key:
        return ""
    return key if round(devices()[key].memory_bytes / 2**30) == int(found[2]) else ""


@cache
def _names() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for device in devices().values():
        for name in (device.key, device.name, *device.aliases):
            found.setdefault(_plain(name), device.key)
    return found


LINES = ("nvidia", "amd", "geforce", "quadro", "tesla", "instinct", "radeon")
"""Vendors and lines of products, which a name may leave out."""

CARD = ("gpu", "graphics", "card", "edition", "generation", "workstation", "tensor", "core")
"""Words of a name that tell no device from another."""


def _plain(name: str) -> str:
    """Small letters and digits alone, without the vendor and the line of products."""
    words = re.findall(r"[a-z]+|[0-9]+", name.lower())
    letters = "".join(word for word in words if word not in CARD)
    for word in LINES:
        letters = letters.removeprefix(word)
    return letters
