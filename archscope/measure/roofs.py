"""The roofs that hold for a network: those of its device, and that of the dtype it computes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from archscope import cache
from archscope.measure import device as devices
from archscope.measure.clock import WallClock, synchronizer

NAMES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
}
"""Keys of `Peaks.rates` by dtype; other dtypes, such as whole numbers, have no roof."""


def roofs(
    device: torch.device, dtype: torch.dtype | None, store: cache.Store | None = None
) -> devices.Peaks:
    """The device's peaks, and where they lack it the rate of this dtype, measured now.

    Args:
        device: whose.
        dtype: in which the network multiplies; `None` where no one dtype does.
        store: where the device's peaks are kept; `None` measures them anew.
    """
    peaks = devices.peaks(device, store)
    name = None if dtype is None else NAMES.get(dtype)
    if dtype is None or name is None or name in peaks.rates:
        return peaks
    try:
        rate = product_rate(device, dtype)
    except (RuntimeError, TypeError):  # no memory for it, or a device without this dtype
        return peaks
    return replace(peaks, rates={**peaks.rates, name: rate})


def raised(
    known: Mapping[str, float],
    device: torch.device,
    name: str | None,
    store: cache.Store | None,
) -> devices.Peaks:
    """The device's peaks measured once more, of each the larger.

    Args:
        known: rates measured before.
        device: whose.
        name: key of the dtype that the network multiplies in, measured too where peaks lack it.
        store: where the device's peaks are kept.

    Raises:
        RuntimeError: no memory for large matrices.
    """
    peaks = devices.raised(known, device, store)
    extra = next((dtype for dtype, key in NAMES.items() if key == name), None)
    rates = {**known, **peaks.rates}
    if extra is not None and name is not None and name not in peaks.rates and name in known:
        rates[name] = max(known[name], product_rate(device, extra))
    return replace(peaks, rates=rates)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Flop/s of the fastest of six square matrix products.

    Small on a host, where some dtypes have no fast kernel: float16 takes hundreds of times longer
    than float32 on some.
    """
    side = 4096 if device.type == "cuda" else 512
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    clock = WallClock([lambda: torch.mm(left, right, out=out)], synchronizer(device))
    clock.laps(1)
    return float(2 * side**3 / min(seconds for (seconds,) in clock.laps(6)))
