"""All kernels of all tables in one set of tensors, which a fit goes over at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from arrays import FIELDS, Table
from torch import Tensor

from archscope.latency.devices import has_tensor_cores

LAYER_WEIGHT = 0.25
SMALL_TABLE = 60
SMALL_WEIGHT = 3.0
"""Weight of a row: layers count less, networks of small tables more; others 1."""

STEP_OF_NETWORK = 1e-3
STEP_OF_LAYER = 3e-5

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
    """All kernels of all tables in one set of tensors.

    Args:
        fields: `FIELDS` of every kernel.
        kind, group, row, count: of every kernel: places in the fit's lists, and how often it runs.
        plain: whether it runs outside of tensor cores.
        of_weight: whether it is the gradient of a weight.
        half: whether it computes in half precision outside of tensor cores.
        peak, plain_peak, bandwidth, units, cache: of its device, the first in its dtype.
        row_group, seconds, weight: of every row.
        hosted: whether the host starts its kernels one by one.
        usual_step: seconds of a step besides its kernels, where the fit begins; 0 for none.
    """

    fields: dict[str, Tensor]
    kind: Tensor
    group: Tensor
    row: Tensor
    count: Tensor
    plain: Tensor
    of_weight: Tensor
    half: Tensor
    peak: Tensor
    plain_peak: Tensor
    bandwidth: Tensor
    units: Tensor
    cache: Tensor
    row_group: Tensor
    hosted: Tensor
    usual_step: Tensor
    seconds: Tensor
    weight: Tensor


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
    plain_names = [kind.removesuffix(" nhwc") for kind in table.kinds]
    of_weight = np.array([kind.endswith("weight_gradient") for kind in plain_names])

    def filled(value: float) -> Tensor:
        return torch.full((size,), float(value), dtype=torch.float64)

    def of_rows(value: float) -> Tensor:
        return torch.full((len(table.seconds),), value, dtype=torch.float64)

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
        torch.tensor(of_weight[table.kind]),
        torch.tensor(table.half & (not tensor_cores)),
        torch.tensor(np.where(table.half, of_half, of_plain or peaks["float32"])),
        filled(peaks["float32"]),
        filled(device.bandwidth_bytes_per_second),
        filled(device.compute_units),
        filled(device.l2_bytes),
        torch.full((len(table.seconds),), number),
        of_rows(0.0 if table.layers else 1.0),
        of_rows(usual_step(group(table))),
        torch.tensor(table.seconds),
        of_rows(weight),
    )


def usual_step(name: Group) -> float:
    """Seconds of a step besides its kernels that a group's tables hold; 0 for none."""
    if name[-1]:
        return STEP_OF_LAYER
    return STEP_OF_NETWORK if name[4] else 0.0
