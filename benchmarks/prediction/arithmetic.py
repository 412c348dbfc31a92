"""The arithmetic of `archscope.latency.model` on arrays of all kernels at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from packed import Packed
from torch import Tensor

from archscope.latency.model import (
    CHOICE,
    FUNCTION_RATE,
    MOST_WASTE,
    PRODUCTS_A_SQUARE,
    SMALL_TILE,
    TAPS,
    TILE,
    WAVE_TILE,
    WINOGRAD_DEPTH,
)

OVERLAP = 4.0
HOST_OVERLAP = 6.0
LAUNCH = 2.5e-6
HOST = 1.5e-5
SERIAL = 0.35e-6
DEPTH = 80.0
IDLE = 0.3
MISALIGNED = float(np.exp(0.7))
CACHE_SHARE = 0.25
TRANSFORMS = 0.4
"""Where the parameters of shapes start."""

NOTHING = 1e-12
"""Seconds that keep logarithms finite."""

Logs = Mapping[str, Tensor]
"""Logarithms by what they are of: most of every kernel, `host` and `step` of every row."""


def row_seconds(packed: Packed, logs: Logs) -> Tensor:
    """The time of every row."""
    none = torch.zeros(len(packed.seconds), dtype=torch.float64)
    device = none.index_add(0, packed.row, kernel_seconds(packed, logs) * packed.count)
    launches = none.index_add(0, packed.row, packed.fields["launches"] * packed.count)
    host = packed.hosted * launches * HOST * torch.exp(logs["host"]) + 1e-9
    return _both(device, host, HOST_OVERLAP) + packed.usual_step * torch.exp(logs["step"])


def kernel_seconds(packed: Packed, logs: Logs) -> Tensor:
    """The time of every distinct kernel."""
    given = packed.fields
    product = _product(packed, logs)
    beside = given["operations"] / packed.plain_peak
    alone = beside * torch.exp(-logs["compute"])
    product = product + torch.where(given["times"] > 0, beside / FUNCTION_RATE, alone)
    busy = _both(product + NOTHING, _traffic(packed, logs) + NOTHING, OVERLAP)
    launch = given["launches"] * LAUNCH * torch.exp(logs["launch"])
    return busy + launch + given["serial"] * SERIAL * torch.exp(logs["serial"])


def _product(packed: Packed, logs: Logs) -> Tensor:
    """Time of the matrix products, by the faster of two algorithms where there are two."""
    given = packed.fields
    depth = given["depth"] + DEPTH * torch.exp(logs["depth"])
    sides = _in_tiles(given["rows"]) * _in_tiles(given["columns"])
    flops = 2 * given["times"] * sides * depth * _waste(packed, logs)
    aligned = (given["aligned"] > 0) | (packed.plain > 0)
    slow = torch.where(aligned, 1.0, MISALIGNED * torch.exp(logs["misaligned"]))
    product = flops * slow / packed.peak * torch.exp(-logs["compute"])
    places = ((given["squares"] > 0) & (packed.plain > 0)).nonzero()[:, 0]
    direct = product[places]
    ratio = torch.clamp(direct / _winograd(packed, logs, places), max=1e4)
    return product.index_put((places,), direct * (1 + ratio**CHOICE) ** (-1 / CHOICE))


def _waste(packed: Packed, logs: Logs) -> Tensor:
    given = packed.fields
    tiles = given["times"] * torch.ceil(given["rows"] / WAVE_TILE)
    waves = tiles * torch.ceil(given["columns"] / WAVE_TILE) / packed.units
    last = torch.clamp(torch.ceil(waves) / torch.clamp(waves, min=1), max=MOST_WASTE)
    idle = torch.clamp(waves, min=1e-6, max=1) ** (-IDLE * torch.exp(logs["idle"]))
    return torch.where(waves < 1, idle, last)


def _winograd(packed: Packed, logs: Logs, places: Tensor) -> Tensor:
    """Time of Winograd's algorithm for the kernels at some places."""
    given = {name: value[places] for name, value in packed.fields.items()}
    of_weight = packed.of_weight[places]
    squares, outer, inner = given["squares"], given["columns"], given["depth"]
    rows = torch.where(of_weight, given["rows"], squares)
    columns = torch.where(of_weight, outer / TAPS, outer)
    depth = torch.where(of_weight, squares, inner / TAPS)
    products = PRODUCTS_A_SQUARE * given["times"]
    flops = 2 * products * _in_tiles(rows) * _in_tiles(columns) * (depth + WINOGRAD_DEPTH)
    rate = packed.peak[places] * torch.exp((logs["compute"] - logs["winograd"])[places])
    values = rows * columns + (rows + columns) * depth
    share = TRANSFORMS * torch.exp(logs["winograd_traffic"][places])
    return flops / rate + 8 * products * values / packed.bandwidth[places] * share + NOTHING


def _traffic(packed: Packed, logs: Logs) -> Tensor:
    moved = packed.fields["read"] + packed.fields["written"]
    gain = 1 + torch.exp(logs["cache_gain"])
    room = CACHE_SHARE * torch.exp(logs["cache_share"]) * packed.cache
    cached = 1 / (1 + (moved / room) ** 4)
    seconds = moved / packed.bandwidth * torch.exp(-logs["memory"])
    return seconds * (1 - cached * (1 - 1 / gain))


def _in_tiles(side: Tensor) -> Tensor:
    return torch.where(side <= SMALL_TILE, float(SMALL_TILE), torch.ceil(side / TILE) * TILE)


def _both(one: Tensor, other: Tensor, overlap: float) -> Tensor:
    longer = torch.maximum(one, other)
    return longer * ((one / longer) ** overlap + (other / longer) ** overlap) ** (1 / overlap)
