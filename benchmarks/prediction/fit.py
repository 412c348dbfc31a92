"""One fit of all tables together: what is alike on all devices, and what each adds.

Every efficiency is the exponential of a sum: that of its kind, of the order of images, of plain
arithmetic, of the device, and of the table (device, mode, compiler and version).
What a device or a table adds has a normal prior around nothing, so that a kind that it hardly ran
stays with the others. Residuals are logarithms of time; outliers count by √(1 + r²).
The arithmetic of a kernel is that of `archscope.latency.model`, on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from arrays import FIELDS, Numbers, Table
from numpy.typing import NDArray
from torch import Tensor

from archscope.latency.devices import has_tensor_cores
from archscope.latency.model import (
    CHOICE,
    FUNCTION_RATE,
    MOST_WASTE,
    PRODUCTS_A_SQUARE,
    SMALL_TILE,
    TAPS,
    TILE,
    WAVE_TILE,
)

OVERLAP = 4.0
HOST_OVERLAP = 6.0
LAUNCH = 2.5e-6
HOST = 1.5e-5
SERIAL = 0.35e-6
STEP_OF_NETWORK = 1e-3
STEP_OF_LAYER = 3e-5
DEPTH = 80.0
USUAL_COMPUTE, USUAL_DEPTHWISE, USUAL_MEMORY = 0.6, 0.08, 0.8
MISALIGNED = float(np.exp(0.7))
CACHE_SHARE = 0.25
TRANSFORMS = 0.4
"""Where every parameter starts."""

SCALE = 0.05
"""Residual, in logarithms, from which on a row counts less."""

PRIORS = {
    "kind_compute": 0.7, "kind_memory": 0.42, "order_compute": 0.3, "order_memory": 0.3,
    "plain_compute": 0.3, "plain_memory": 0.15, "device_compute": 0.12, "device_memory": 0.12,
    "table_compute": 0.1, "table_memory": 0.1, "whole_compute": 0.1, "whole_memory": 0.1,
    "depth": 0.7, "launch": 0.4, "misaligned": 0.5, "serial": 1.0, "cache": 0.5, "host": 0.8,
    "winograd": 0.5, "step": 1.5, "plain": 0.3,
}  # fmt: skip
"""Standard deviation of each parameter's logarithm around its start."""

LAYER_WEIGHT = 0.25
SMALL_TABLE = 60
SMALL_WEIGHT = 3.0
"""Weight of a row: layers count less, networks of small tables more; others 1."""


Group = tuple[str, str, bool, str, str, bool]


def group(table: Table) -> Group:
    """Tables that share factors: alike in all but the layout."""
    versioned = table.software if not table.software.endswith("published") else ""
    own = table.name.partition("-")[0] if not versioned else ""
    return (
        table.device.key, table.mode, table.compiled, versioned,
        f"{own}-{table.dtype}" if own else "", table.layers,
    )  # fmt: skip


@dataclass
class Packed:
    """All kernels of all tables in one set of tensors."""

    fields: dict[str, Tensor]
    kind: Tensor
    group: Tensor
    row: Tensor
    count: Tensor
    plain: Tensor
    peak: Tensor
    plain_peak: Tensor
    bandwidth: Tensor
    units: Tensor
    cache: Tensor
    row_group: Tensor
    seconds: Tensor
    weight: Tensor

    def rows(self, wanted: NDArray[np.bool_]) -> Packed:
        """The kernels of some rows."""
        chosen = torch.tensor(wanted)
        of_row = chosen[self.row]
        renumbered = torch.cumsum(chosen.long(), 0) - 1
        rowwise = ("row_group", "seconds", "weight")
        found = {
            name: value[chosen] if name in rowwise else value[of_row]
            for name, value in vars(self).items()
            if name != "fields"
        }
        found["row"] = renumbered[found["row"]]
        return Packed({name: value[of_row] for name, value in self.fields.items()}, **found)


def pack(tables: Sequence[Table], kinds: Sequence[str], groups: Sequence[Group]) -> Packed:
    """The tensors of some tables.

    Args:
        tables: some of the fit's, or some rows of them.
        kinds: all of the fit.
        groups: all of the fit.
    """
    parts = []
    rows = 0
    for table in tables:
        parts.append(_packed(table, rows, kinds, groups.index(group(table))))
        rows += len(table.seconds)
    names = [name for name in vars(parts[0]) if name != "fields"]
    fields = {name: torch.cat([part.fields[name] for part in parts]) for name in FIELDS}
    return Packed(fields, **{name: torch.cat([getattr(p, name) for p in parts]) for name in names})


def _packed(table: Table, rows: int, kinds: Sequence[str], number: int) -> Packed:
    device, size = table.device, len(table.row)
    peaks = device.peak_flops_per_second
    tensor_cores = has_tensor_cores(device)
    rounded = table.dtype == "tf32" and "tf32" in peaks
    of_half = peaks["float16"] if tensor_cores else peaks["float32"]
    of_plain = peaks["tf32"] if rounded or ("tf32" in peaks and device.vendor == "amd") else None
    products = table.numbers[:, 0] > 0
    on_tensor_cores = (table.half & tensor_cores) | (rounded & products)
    places = np.array([kinds.index(kind) for kind in table.kinds])

    def filled(value: float) -> Tensor:
        return torch.full((size,), float(value), dtype=torch.float64)

    weight = LAYER_WEIGHT if table.layers else 1.0
    if not table.layers and len(table.seconds) < SMALL_TABLE:
        weight = SMALL_WEIGHT
    return Packed(
        {name: torch.tensor(table.numbers[:, place]) for place, name in enumerate(FIELDS)},
        torch.tensor(places[table.kind]),
        torch.full((size,), number),
        torch.tensor(table.row + rows),
        torch.tensor(table.count),
        torch.tensor(~on_tensor_cores, dtype=torch.float64),
        torch.tensor(np.where(table.half, of_half, of_plain or peaks["float32"])),
        filled(peaks["float32"]),
        filled(device.bandwidth_bytes_per_second),
        filled(device.compute_units),
        filled(device.l2_bytes),
        torch.full((len(table.seconds),), number),
        torch.tensor(table.seconds),
        torch.full((len(table.seconds),), weight, dtype=torch.float64),
    )


class Fit:
    """The parameters of all tables, as logarithms of factors.

    Args:
        tables: that are fitted, or of which some rows are.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.kinds = sorted({kind for table in tables for kind in table.kinds})
        self.groups = sorted({group(table) for table in tables})
        self.devices = sorted({key for key, *_ in self.groups})
        self.plain_kinds = sorted({kind.removesuffix(" nhwc") for kind in self.kinds})
        self.of_kind = torch.tensor(
            [self.plain_kinds.index(kind.removesuffix(" nhwc")) for kind in self.kinds]
        )
        self.of_group = torch.tensor([self.devices.index(key) for key, *_ in self.groups])
        self.layers = torch.tensor([group[-1] for group in self.groups])
        self.steps = torch.tensor([group[-1] or bool(group[4]) for group in self.groups])
        start = [
            USUAL_DEPTHWISE if kind.startswith("depthwise") else USUAL_COMPUTE
            for kind in self.kinds
        ]
        self.usual = torch.tensor(np.log(start))
        sizes = {
            "kind": len(self.plain_kinds), "order": len(self.kinds), "plain": len(self.plain_kinds),
            "device": (len(self.devices), len(self.kinds)),
            "table": (len(self.groups), len(self.kinds)), "whole": len(self.devices),
        }  # fmt: skip
        self.logs = {
            f"{name}_{what}": _zeros(size)
            for name, size in sizes.items()
            for what in ("compute", "memory")
        }
        of_groups = len(self.groups)
        for name, size in {
            "depth": len(self.plain_kinds), "launch": of_groups, "misaligned": 1, "serial": 1,
            "cache": 2, "host": of_groups, "winograd": 2, "step": of_groups, "plain": 1,
        }.items():  # fmt: skip
            self.logs[name] = _zeros(size)

    def prior(self) -> Tensor:
        """What the parameters cost by being away from their start."""
        costs = [(log**2).sum() / (2 * PRIORS[name] ** 2) for name, log in self.logs.items()]
        return torch.stack(costs).sum()

    def efficiencies(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Logarithms of the two efficiencies of every kernel."""
        found = []
        for what in ("compute", "memory"):
            log = {name: self.logs[f"{name}_{what}"] for name in _PARTS}
            kind, table = packed.kind, packed.group
            plain, device = self.of_kind[kind], self.of_group[table]
            usual = self.usual[kind] if what == "compute" else float(np.log(USUAL_MEMORY))
            outside = log["plain"][plain] + (self.logs["plain"] if what == "compute" else 0)
            found.append(
                usual + log["kind"][plain] + log["order"][kind] + packed.plain * outside
                + log["device"][device, kind] + log["whole"][device] + log["table"][table, kind]
            )  # fmt: skip
        return found[0], found[1]

    def kernel_seconds(self, packed: Packed) -> Tensor:
        """The time of every distinct kernel."""
        given = packed.fields
        compute, memory = self.efficiencies(packed)
        columns, depth = _in_tiles(given["columns"]), given["depth"]
        longer = DEPTH * torch.exp(self.logs["depth"][self.of_kind[packed.kind]])
        tiles = given["times"] * torch.ceil(given["rows"] / WAVE_TILE)
        waves = (tiles * torch.ceil(given["columns"] / WAVE_TILE) + 1e-9) / packed.units
        waste = torch.clamp(torch.ceil(waves) / waves, max=MOST_WASTE)
        flops = 2 * given["times"] * _in_tiles(given["rows"]) * columns * (depth + longer) * waste
        aligned = (given["aligned"] > 0) | (packed.plain > 0)
        flops = flops * torch.where(aligned, 1.0, MISALIGNED * torch.exp(self.logs["misaligned"]))
        product = flops / packed.peak * torch.exp(-compute) + 1e-12
        product = self._sooner(product, packed, compute)
        beside = given["operations"] / packed.plain_peak
        multiplies = given["times"] > 0
        product = product + torch.where(
            multiplies, beside / FUNCTION_RATE, beside * torch.exp(-compute)
        )
        traffic = self._traffic(packed, memory)
        busy = _both(product, traffic, OVERLAP)
        launch = LAUNCH * torch.exp(self.logs["launch"][packed.group])
        serial = SERIAL * torch.exp(self.logs["serial"])
        return busy + given["launches"] * launch + given["serial"] * serial

    def _sooner(self, product: Tensor, packed: Packed, compute: Tensor) -> Tensor:
        """The faster of a product and Winograd's algorithm, where it has one."""
        given = packed.fields
        has = (given["squares"] > 0) & (packed.plain > 0)
        squares = torch.where(has, given["squares"], 1.0)
        inner = given["depth"] / TAPS
        products = PRODUCTS_A_SQUARE * given["times"]
        flops = 2 * products * _in_tiles(squares) * _in_tiles(given["columns"]) * (inner + 20)
        log = self.logs["winograd"]
        other = flops / packed.peak * torch.exp(log[0] - compute)
        values = squares * (given["columns"] + inner) + given["columns"] * inner
        other = other + 8 * products * values / packed.bandwidth * TRANSFORMS * torch.exp(log[1])
        other = torch.where(has, other + 1e-12, 1e3)
        ratio = torch.clamp(product / other, max=1e4)
        return product * (1 + ratio**CHOICE) ** (-1 / CHOICE)

    def _traffic(self, packed: Packed, memory: Tensor) -> Tensor:
        moved = packed.fields["read"] + packed.fields["written"]
        gain = 1 + torch.exp(self.logs["cache"][0])
        room = CACHE_SHARE * torch.exp(self.logs["cache"][1]) * packed.cache
        cached = 1 / (1 + (moved / room) ** 4)
        seconds = moved / packed.bandwidth * torch.exp(-memory)
        return seconds * (1 - cached * (1 - 1 / gain)) + 1e-12

    def seconds(self, packed: Packed) -> Tensor:
        """The time of every row."""
        rows = torch.zeros(len(packed.seconds), dtype=torch.float64)
        device = rows.index_add(0, packed.row, self.kernel_seconds(packed) * packed.count)
        launches = rows.index_add(0, packed.row, packed.fields["launches"] * packed.count)
        host = launches * HOST * torch.exp(self.logs["host"][packed.row_group])
        host = torch.where(self.layers[packed.row_group], 0.0, host) + 1e-9
        usual = torch.where(self.layers, STEP_OF_LAYER, STEP_OF_NETWORK)
        step = torch.where(self.steps, usual * torch.exp(self.logs["step"]), 0.0)
        return _both(device, host, HOST_OVERLAP) + step[packed.row_group]

    def fit(self, packed: Packed, steps: int) -> float:
        """Find all parameters; the loss that is left."""
        for log in self.logs.values():
            log.requires_grad_(True)
        measured = torch.log(packed.seconds)
        optimiser = torch.optim.LBFGS(
            list(self.logs.values()), max_iter=steps, history_size=20,
            line_search_fn="strong_wolfe", tolerance_change=1e-4,
        )  # fmt: skip
        losses = []

        def loss() -> Tensor:
            optimiser.zero_grad()
            residual = (torch.log(self.seconds(packed)) - measured) / SCALE
            found = (packed.weight * (torch.sqrt(1 + residual**2) - 1)).sum() + self.prior()
            found.backward()
            losses.append(float(found.detach()))
            return found

        optimiser.step(loss)  # type: ignore[arg-type]
        for log in self.logs.values():
            log.requires_grad_(False)
        return losses[-1]

    def predicted(self, packed: Packed) -> Numbers:
        """The time of every row, as an array."""
        found: Numbers = self.seconds(packed).numpy()
        return found


_PARTS = ("kind", "order", "plain", "device", "whole", "table")


def _zeros(size: int | tuple[int, ...]) -> Tensor:
    return torch.zeros(size, dtype=torch.float64)


def _in_tiles(side: Tensor) -> Tensor:
    return torch.where(side <= SMALL_TILE, float(SMALL_TILE), torch.ceil(side / TILE) * TILE)


def _both(one: Tensor, other: Tensor, overlap: float) -> Tensor:
    longer = torch.maximum(one, other)
    return longer * ((one / longer) ** overlap + (other / longer) ** overlap) ** (1 / overlap)
