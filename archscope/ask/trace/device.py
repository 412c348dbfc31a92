"""What a trace says of its device, and the roofs that the device's data sheet gives."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.latency.devices import Device, devices, find_device
from archscope.parameters import parameter
from archscope.records.measured import COPY, ROOF_OF
from archscope.traces.events import Event, Trace
from archscope.traces.families import WEIGHTED, base, family
from archscope.traces.join import Credit
from archscope.traces.nesting import is_node

DTYPES = {
    "float": "float32", "c10::BFloat16": "bfloat16", "c10::Half": "float16", "double": "float64",
}  # fmt: skip
"""PyTorch's names by those that a trace has for the inputs of an operator."""

ROOFS = {**ROOF_OF, "tf32": "tf32", COPY: COPY}
"""Keys of a Profile's roofs, by PyTorch's names of dtypes, and of the bandwidth."""

UNNAMED = "AMD Radeon Graphics"
"""What a driver calls an accelerator whose name it does not know."""


def device_facts(
    trace: Trace, credits: Sequence[Credit], sheets: Sequence[Device]
) -> dict[str, str]:
    """What decides the numbers: device, dtypes, ranks.

    Args:
        trace: with what its file says of its device.
        credits: of its kernels, whose names tell where float32 is rounded.
        sheets: the data sheets that may be the device's.
    """
    facts: dict[str, str] = {}
    if name := trace.facts.get("device name"):
        facts["device name"] = name
    if sheets:
        facts["data sheet"] = " or ".join(sheet.name for sheet in sheets)
    if torch := trace.facts.get("torch"):
        facts["torch"] = torch
    weights, computed = _dtypes(trace.host)
    if weights:
        facts["network dtype"] = weights
    if computed and computed != weights:
        facts["autocast"] = computed
    for family_name, fact in (("convolution", "convolutions"), ("linear", "matrix products")):
        if _rounds(credits, family_name):
            facts[fact] = "TF32"
    if trace.facts.get("ranks", "1") != "1":
        facts["rank"] = f"{trace.facts.get('rank', '0')} of {trace.facts['ranks']}"
    return facts


def data_sheets(trace: Trace) -> list[Device]:
    """The data sheets that may be the device's: by its name, else by part of it and its size.

    Where several are left, as MI210 and a die of MI250 are, their rates are the same within 5 %;
    where they are not, none is named.
    """
    name = trace.facts.get("device name", "")
    try:
        return [find_device(name)]
    except ArchscopeError:
        pass
    vendor = "amd" if name.startswith("AMD") else "nvidia"
    alike = [
        device
        for device in devices().values()
        if device.vendor == vendor and _has_size(device, trace) and _shares_name(device, name)
    ]
    rates = [device.peak_flops_per_second["float32"] for device in alike]
    return alike if rates and max(rates) <= 1.05 * min(rates) else []


def _has_size(device: Device, trace: Trace) -> bool:
    if trace.facts.get("multiprocessors") != str(device.compute_units):
        return False
    memory = int(trace.facts.get("memory bytes", "0"))
    return 0.85 < memory / device.memory_bytes <= 1.05


def _shares_name(device: Device, name: str) -> bool:
    """Whether a word with a digit is in both, such as `A100`; an unnamed device has none."""
    if name == UNNAMED:
        return True
    words = set(re.findall(r"[a-z]+[0-9]+[a-z]*", name.lower()))
    return bool(words & set(re.findall(r"[a-z]+[0-9]+[a-z]*", device.name.lower())))


def _dtypes(host: Sequence[Event]) -> tuple[str | None, str | None]:
    """The dtype of the weights, and the one that autocast computes in, by the usual operator."""
    weights: Counter[str] = Counter()
    computed: Counter[str] = Counter()
    for event in host:
        if family(event.name) in ("convolution", "linear") and not is_node(event):
            dtype = DTYPES.get(event.types[1]) if len(event.types) > 1 else None
            if dtype is not None:
                (computed if _is_repeated(event) else weights)[dtype] += 1
    return _usual(weights), _usual(computed)


def _is_repeated(event: Event) -> bool:
    """Whether an operator of the same name is around it, as autocast leaves it."""
    return event.parent is not None and event.parent.name == event.name


def _usual(counts: Counter[str]) -> str | None:
    return counts.most_common(1)[0][0] if counts else None


def _rounds(credits: Sequence[Credit], wanted: str) -> bool:
    """Whether the kernels of an operator are named after TF32."""
    return any(
        credit.source is not None
        and "tf32" in credit.source.name.lower()
        and credit.launched_by is not None
        and _kind(credit.launched_by) == wanted
        for credit in credits
    )


def _kind(event: Event) -> str:
    above: Event | None = event
    while above is not None:
        if (found := family(above.name)) in WEIGHTED:
            return found
        if "convolution" in base(above.name):
            return "convolution"
        if base(above.name) in ("mm", "addmm", "bmm"):
            return "linear"
        above = above.parent
    return ""


def roof_key(name: str) -> str:
    """What a Profile calls a roof: `fp32` where `float32` or `fp32` is written.

    Raises:
        ArchscopeError: there is no such roof.
    """
    dtype = full_name(name)
    if dtype in ROOFS:
        return ROOFS[dtype]
    known = ", ".join(ROOFS)
    raise ArchscopeError(parameter("peaks"), f"unknown roof {name!r}", f"use one of {known}")


def _rate(name: str, rate: float) -> float:
    is_number = isinstance(rate, Real) and not isinstance(rate, bool)
    if is_number and 0 < rate < math.inf:
        return float(rate)
    problem = f"the rate of {name} is {rate!r}"
    raise ArchscopeError(parameter("peaks"), problem, "give a positive number")


def peaks_of(
    facts: dict[str, str], sheets: Sequence[Device], given: Mapping[str, float]
) -> dict[str, float]:
    """Rates by the keys of a Profile; what is given goes before the data sheet.

    Args:
        facts: of the device; gets the source of the rates.
        sheets: data sheets of equal rates, of which the first one is taken.
        given: flop/s by dtype (`float32`, `tf32`, …) and bytes/s under `copy`.

    Raises:
        ArchscopeError: a rate is of no roof, or not a positive number.
    """
    found: dict[str, float] = {}
    for sheet in sheets[:1]:
        found = {
            ROOFS[dtype]: float(rate)
            for dtype, rate in sheet.peak_flops_per_second.items()
            if dtype in ROOFS
        }
        found[COPY] = float(sheet.bandwidth_bytes_per_second)
        facts["roofs"] = f"data sheet: {sheet.source}"
    if given:
        found |= {roof_key(name): _rate(name, rate) for name, rate in given.items()}
        facts["roofs"] = f"{facts['roofs']}, and as given" if sheets else "as given"
    return found
