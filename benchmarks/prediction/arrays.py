"""Measurements → arrays of their kernels, which a fit can go over at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from layers import LayerMeasurement
from numpy.typing import NDArray
from runs import BATCH, Recorded, at_batch
from tables import Measurement

from archscope.latency.devices import Device, devices
from archscope.latency.fusion import image_order
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.records import Execution

FIELDS = (
    "times", "rows", "columns", "depth", "operations", "squares", "read", "written", "aligned",
    "serial", "launches",
)  # fmt: skip
"""What the time of a kernel hangs on, besides its kind and dtype."""

ANY_ORDER = (
    "elementwise", "activation", "cast", "transposition", "gather", "copy", "weight_cast",
    "softmax", "layer_norm",
)  # fmt: skip
"""Kinds whose time does not hang on the order of images."""

Numbers = NDArray[np.float64]


@dataclass
class Table:
    """All measurements of one table on one device.

    Args:
        name: of the table.
        device: its data sheet.
        setting: mode, dtype, layout, and whether it was compiled.
        software: versions.
        layers: whether single layers were timed.
        names: of the networks, or what was timed of a layer.
        families: that are held out together.
        seconds, macs: of every row.
        sides, batches: of every row; zeros for layers.
        row, kind, half, count, numbers: of every distinct kernel: its row, the place of its kind in
            `kinds`, whether it computes in half precision, how often it runs, and `FIELDS`.
    """

    name: str
    device: Device
    mode: str
    dtype: str
    layout: str
    compiled: bool
    software: str
    layers: bool
    names: list[str]
    families: NDArray[np.str_]
    seconds: Numbers
    macs: Numbers
    sides: NDArray[np.int64]
    batches: NDArray[np.int64]
    kinds: list[str]
    row: NDArray[np.int64]
    kind: NDArray[np.int64]
    half: NDArray[np.bool_]
    count: Numbers
    numbers: Numbers
    published: int = 0

    @property
    def bytes_moved(self) -> Numbers:
        moved = self.numbers[:, FIELDS.index("read")] + self.numbers[:, FIELDS.index("written")]
        return np.bincount(self.row, moved * self.count, len(self.seconds))

    def taken(self, rows: NDArray[np.int64]) -> Table:
        """Some rows alone, with the kinds that they hold."""
        chosen = np.zeros(len(self.seconds), bool)
        chosen[rows] = True
        of_row, renumbered = chosen[self.row], np.cumsum(chosen) - 1
        held, kind = np.unique(self.kind[of_row], return_inverse=True)
        return replace(
            self,
            names=[name for name, wanted in zip(self.names, chosen, strict=True) if wanted],
            families=self.families[chosen],
            seconds=self.seconds[chosen],
            macs=self.macs[chosen],
            sides=self.sides[chosen],
            batches=self.batches[chosen],
            row=renumbered[self.row[of_row]],
            kinds=[self.kinds[place] for place in held],
            kind=kind,
            half=self.half[of_row],
            count=self.count[of_row],
            numbers=self.numbers[of_row],
        )

    def drawn(self, most: int) -> Table:
        """At most so many rows, drawn by a fixed seed."""
        places = np.random.default_rng(1).permutation(len(self.seconds))[:most]
        return self.taken(np.sort(places))


def joined(parts: Sequence[Table]) -> Table:
    """Rows of one table together again."""
    first = [0, *np.cumsum([len(part.seconds) for part in parts])]
    kinds = sorted({kind for part in parts for kind in part.kinds})
    at = {kind: place for place, kind in enumerate(kinds)}
    together = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (
            "families", "seconds", "macs", "sides", "batches", "half", "count", "numbers",
        )
    }  # fmt: skip
    return replace(
        parts[0],
        names=[name for part in parts for name in part.names],
        kinds=kinds,
        kind=np.concatenate([np.array([at[k] for k in part.kinds])[part.kind] for part in parts]),
        row=np.concatenate([part.row + start for part, start in zip(parts, first, strict=False)]),
        **together,
    )


def network_table(measured: Iterable[Measurement], recorded: Recorded) -> Table | None:
    """The arrays of one table of networks, without those that cannot be run as they were."""
    rows: list[tuple[str, str, float, float, int, int]] = []
    found: list[Counter[tuple[Any, ...]]] = []
    first = None
    for one in measured:
        execution = execution_of(one, recorded)
        if execution is None or not _is_published(one, execution):
            continue
        first = first or one
        dtype, compiled = one.setting.dtype, one.setting.compiled
        scaled = at_batch(execution, one.batch)
        found.append(_counted(kernels(scaled, dtype, compiled)))
        macs = sum(run.macs for run in scaled.runs if run.phase == "forward")
        rows.append((one.network, one.family, one.seconds, macs, one.side, one.batch))
    if first is None:
        return None
    setting = first.setting
    place = (first.device, setting.mode, setting.dtype, setting.layout, setting.compiled)
    return _table(first.table, place, first.software, rows, found, layers=False)


def execution_of(one: Measurement, recorded: Recorded) -> Execution | None:
    """The run of a measured network at a batch of 1009."""
    _, _, version = one.software.partition("torch ")
    fused = not version.startswith("1")
    found = recorded.run(one.network, one.side, one.setting, fused_attention=fused)
    if found is not None and one.setting.compiled and image_order(found.runs) == "nhwc":
        last = replace(one.setting, layout="nhwc")
        return recorded.run(one.network, one.side, last, fused_attention=fused)
    return found


def _is_published(one: Measurement, execution: Execution) -> bool:
    """Whether the network has the parameters that were published: it may have changed since."""
    if not one.parameters:
        return True
    millions = (sum(execution.parameter_sizes) + execution.frozen_elements) / 1e6
    difference = abs(millions - one.parameters)
    return difference < max(0.011, 0.01 * one.parameters)


def layer_tables(measured: Iterable[LayerMeasurement]) -> list[Table]:
    """The arrays of all tables of single layers."""
    groups: dict[tuple[str, str], list[LayerMeasurement]] = defaultdict(list)
    for one in measured:
        groups[one.table, one.device].append(one)
    tables = []
    for (name, device), ones in groups.items():
        found = [_counted(kernels_alone(one)) for one in ones]
        rows = [
            (one.what, f"row {place % 40}", one.seconds, 0.0, 0, 0)
            for place, one in enumerate(ones)
        ]
        place = (device, "inference", ones[0].dtype, "nchw", False)
        tables.append(
            _table(f"{name}-{device}", place, "version not published", rows, found, layers=True)
        )
    return tables


def kernels_alone(one: LayerMeasurement) -> Iterable[Kernel]:
    """The kernels of a layer that was timed alone: no update of weights follows."""
    forward = replace(one.execution, parameter_sizes=())
    return (kernel for kernel in kernels(forward, one.dtype) if kernel.phase != "update")


def _counted(launched: Iterable[Kernel]) -> Counter[tuple[Any, ...]]:
    return Counter(
        (
            kind_of(kernel),
            kernel.dtype in ("float16", "bfloat16"),
            *tuple(getattr(kernel, field) for field in FIELDS),
        )
        for kernel in launched
    )


def kind_of(kernel: Kernel) -> str:
    """The kind as the coefficients are named, ` nhwc` with it where the order matters."""
    ordered = kernel.order == "nhwc" and not kernel.kind.startswith(ANY_ORDER)
    return f"{kernel.kind} nhwc" if ordered else kernel.kind


def _table(
    name: str, place: tuple[str, str, str, str, bool], software: str,
    rows: list[tuple[str, str, float, float, int, int]], found: list[Counter[tuple[Any, ...]]],
    *, layers: bool,
) -> Table:  # fmt: skip
    device, mode, dtype, layout, compiled = place
    names, families, seconds, macs, sides, batches = zip(*rows, strict=True)
    listed = [
        (row, count, *kernel)
        for row, counts in enumerate(found)
        for kernel, count in counts.items()
    ]
    kinds = sorted({item[2] for item in listed})
    at = {kind: number for number, kind in enumerate(kinds)}
    return Table(
        name, devices()[device], mode, dtype, layout, compiled, software, layers,
        list(names), np.array(families), np.array(seconds), np.array(macs, float),
        np.array(sides), np.array(batches), kinds,
        np.array([item[0] for item in listed]),
        np.array([at[item[2]] for item in listed]),
        np.array([item[3] for item in listed]),
        np.array([item[1] for item in listed], float),
        np.array([item[4:] for item in listed], float),
        published=len(rows),
    )  # fmt: skip


def saved_tables(folder: Path) -> Mapping[str, Path]:
    """Tables whose arrays are on disk, by name."""
    return {path.stem: path for path in sorted((folder / "tables").glob("*.pkl"))}


__all__ = ["BATCH", "FIELDS", "Table", "execution_of", "layer_tables", "network_table"]
