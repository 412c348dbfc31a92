"""The roofs that hold for a network: those of its device, and that of the dtype it computes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from archscope.measure import device as devices
from archscope.records.measured import ROOF_OF
from archscope.saved import cache


def roofs(
    device: torch.device, dtype: torch.dtype | None, store: cache.Store | None = None
) -> devices.Peaks:
    """The device's peaks, and where they lack it the rate of this dtype, measured now.

    Args:
        device: whose.
        dtype: in which the network multiplies; `None` where no one dtype does.
        store: where the device's peaks are saved; `None` measures them again.
    """
    peaks = devices.peaks(device, store)
    name = ROOF_OF.get(str(dtype).removeprefix("torch."))
    if name is None or name in peaks.rates:
        return peaks
    try:
        rate = _rate(device, name)
    except (RuntimeError, TypeError):  # no memory for it, or a device without this dtype
        return peaks
    return replace(peaks, rates={**peaks.rates, name: rate})


def raised(
    known: Mapping[str, float],
    device: torch.device,
    name: str,
    store: cache.Store | None,
) -> devices.Peaks:
    """The device's peaks measured once more, of each the larger.

    Args:
        known: rates measured before.
        device: whose.
        name: key of the dtype that the network multiplies in, measured too where peaks lack it.
        store: where the device's peaks are saved.

    Raises:
        RuntimeError: no memory for large matrices.
    """
    peaks = devices.raised(known, device, store)
    rates = {**known, **peaks.rates}
    if name in known and name not in peaks.rates:
        rates[name] = max(known[name], _rate(device, name))
    return replace(peaks, rates=rates)


def _rate(device: torch.device, name: str) -> float:
    """Of a product small on a host, where some dtypes have no fast kernel.

    Float16 takes hundreds of times longer than float32 on some.
    """
    (dtype,) = (getattr(torch, dtype) for dtype, key in ROOF_OF.items() if key == name)
    return devices.product_rate(device, name, dtype, 4096 if device.type == "cuda" else 512)
