"""One fit of all tables together: what is alike on all devices, and what each adds.

Every efficiency is the exponential of a sum: that of its kind, of the order of images, of plain
arithmetic, of half precision there, of the device, and of the table (device, mode, compiler and
version). What a device or a table adds has a normal prior around nothing, so that a kind that it
hardly ran stays with the others. Residuals are logarithms of time over `SCALE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sparse
import torch
from arithmetic import Logs, row_seconds
from arrays import Numbers, Table
from least_squares import smallest
from numpy.typing import NDArray
from packed import Packed, group

USUAL_COMPUTE, USUAL_DEPTHWISE, USUAL_MEMORY = 0.6, 0.08, 0.8
"""Where efficiencies start."""

SCALE = 0.05
"""Residual, in logarithms, from which on a row counts less."""

EFFICIENCIES = {
    "kind_compute": 0.7, "kind_memory": 0.42, "order_compute": 0.3, "order_memory": 0.3,
    "plain_compute": 0.3, "plain_memory": 0.15, "half_compute": 0.7, "half_memory": 0.42,
    "device_compute": 0.12, "device_memory": 0.12,
    "whole_compute": 0.1, "whole_memory": 0.1, "table_compute": 0.1, "table_memory": 0.1,
    "software_compute": 0.1, "software_memory": 0.1,
}  # fmt: skip
PRIORS = EFFICIENCIES | {
    "plain": 0.3, "depth": 0.7, "idle": 0.5, "device_launch": 0.4, "launch": 0.3,
    "device_host": 0.8, "host": 0.4, "step": 1.5, "misaligned": 0.5, "serial": 1.0,
    "cache_gain": 0.5, "cache_share": 0.5, "winograd": 0.5, "winograd_traffic": 0.5,
}  # fmt: skip
"""Standard deviation of each parameter's logarithm around its start.

`whole` and `software` are factors of all kinds of work, of a device and of a table.
"""

Term = tuple[str, NDArray[np.int64], NDArray[np.bool_] | None]
"""A parameter, which of its entries each kernel takes, and which kernels take one."""


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
        self.of_kind = np.array(
            [self.plain_kinds.index(kind.removesuffix(" nhwc")) for kind in self.kinds]
        )
        self.of_group = np.array([self.devices.index(key) for key, *_ in self.groups])
        slow = [USUAL_DEPTHWISE if k.startswith("depthwise") else USUAL_COMPUTE for k in self.kinds]
        self.usual = np.log(slow)
        self.logs = {name: np.zeros(shape) for name, shape in self._shapes().items()}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        kinds, plain = len(self.kinds), len(self.plain_kinds)
        devices, groups = len(self.devices), len(self.groups)
        of = {
            "kind": (plain,), "order": (kinds,), "plain": (plain,), "half": (plain,),
            "device": (devices, kinds), "whole": (devices,),
            "table": (groups, kinds), "software": (groups,),
        }  # fmt: skip
        others = {
            "depth": (plain,), "idle": (plain,), "misaligned": (kinds,),
            "winograd": (plain,), "winograd_traffic": (plain,),
            "device_launch": (devices,), "launch": (groups,),
            "device_host": (devices,), "host": (groups,), "step": (groups,),
        }  # fmt: skip
        return {
            name: of[name.partition("_")[0]] if name in EFFICIENCIES else others.get(name, (1,))
            for name in PRIORS
        }

    def host(self, place: int) -> float:
        """Logarithm of the host's time of a launch over the usual one, of a group."""
        return float(self.logs["host"][place] + self.logs["device_host"][self.of_group[place]])

    def launch(self, place: int) -> float:
        """Likewise of the device's."""
        return float(self.logs["launch"][place] + self.logs["device_launch"][self.of_group[place]])

    def fit(self, packed: Packed, steps: int) -> float:
        """Find all parameters; the loss that is left."""
        designs = self._designs(packed)
        measured, weights = np.log(packed.seconds.numpy()), packed.weight.numpy()
        spreads = np.concatenate(
            [np.full(log.size, PRIORS[name]) for name, log in self.logs.items()]
        )

        def residuals(at: Numbers) -> Numbers:
            with torch.no_grad():
                seconds = row_seconds(packed, self._logs(packed, designs, at))
            return (np.log(seconds.numpy()) - measured) / SCALE

        def slopes(at: Numbers) -> tuple[Numbers, sparse.csr_matrix]:
            logs = self._logs(packed, designs, at)
            for log in logs.values():
                log.requires_grad_(True)
            found = torch.log(row_seconds(packed, logs))
            found.sum().backward()  # a row's time depends on its own kernels alone
            jacobian = _jacobian(packed, logs, designs) / SCALE
            return (found.detach().numpy() - measured) / SCALE, jacobian

        start = np.concatenate([log.ravel() for log in self.logs.values()])
        found, left = smallest(start, spreads, weights, residuals, slopes, steps)
        self._set(found)
        return left

    def predicted(self, packed: Packed) -> Numbers:
        """The time of every row."""
        at = np.concatenate([log.ravel() for log in self.logs.values()])
        seconds: Numbers = row_seconds(
            packed, self._logs(packed, self._designs(packed), at)
        ).numpy()
        return seconds

    def _set(self, at: Numbers) -> None:
        first = 0
        for name, log in self.logs.items():
            self.logs[name] = at[first : first + log.size].reshape(log.shape)
            first += log.size

    def _logs(
        self, packed: Packed, designs: Mapping[str, sparse.csr_matrix], at: Numbers
    ) -> dict[str, torch.Tensor]:
        """The logarithms of every kernel and row."""
        found = {name: design @ at for name, design in designs.items()}
        found["compute"] = found["compute"] + self.usual[packed.kind.numpy()]
        found["memory"] = found["memory"] + np.log(USUAL_MEMORY)
        return {name: torch.from_numpy(log) for name, log in found.items()}

    def _designs(self, packed: Packed) -> dict[str, sparse.csr_matrix]:
        """Which parameters the logarithms of every kernel and row are sums of."""
        first, starts = 0, {}
        for name, log in self.logs.items():
            starts[name] = first
            first += log.size

        def design(terms: Sequence[Term]) -> sparse.csr_matrix:
            rows, columns = [], []
            for name, entries, taken in terms:
                places = np.arange(len(entries)) if taken is None else np.flatnonzero(taken)
                rows.append(places)
                columns.append(starts[name] + entries[places])
            ones = np.ones(sum(map(len, rows)))
            at = (np.concatenate(rows), np.concatenate(columns))
            return sparse.csr_matrix((ones, at), shape=(len(terms[0][1]), first))

        return {name: design(terms) for name, terms in self._terms(packed).items()}

    def _terms(self, packed: Packed) -> dict[str, list[Term]]:
        kind, table, of_row = (x.numpy() for x in (packed.kind, packed.group, packed.row_group))
        plain_kind, device = self.of_kind[kind], self.of_group[table]
        half = packed.half.numpy()
        outside, kinds, none = packed.plain.numpy() > 0, len(self.kinds), np.zeros_like(kind)

        def efficiency(what: str) -> list[Term]:
            return [
                (f"kind_{what}", plain_kind, None),
                (f"order_{what}", kind, None),
                (f"plain_{what}", plain_kind, outside),
                (f"half_{what}", plain_kind, half),
                (f"device_{what}", device * kinds + kind, None),
                (f"whole_{what}", device, None),
                (f"table_{what}", table * kinds + kind, None),
                (f"software_{what}", table, None),
            ]

        of_all = ("serial", "cache_gain", "cache_share")
        return {
            "compute": [*efficiency("compute"), ("plain", none, outside)],
            "memory": efficiency("memory"),
            **{
                name: [(name, plain_kind, None)]
                for name in ("depth", "idle", "winograd", "winograd_traffic")
            },
            "misaligned": [("misaligned", kind, None)],
            "launch": [("launch", table, None), ("device_launch", device, None)],
            "host": [("host", of_row, None), ("device_host", self.of_group[of_row], None)],
            "step": [("step", of_row, None)],
            **{name: [(name, none, None)] for name in of_all},
        }


def _jacobian(
    packed: Packed, logs: Logs, designs: Mapping[str, sparse.csr_matrix]
) -> sparse.csr_matrix:
    """Derivatives of the logarithms of all rows' times by all parameters."""
    rows, kernels = len(packed.seconds), len(packed.row)
    total = None
    for name, design in designs.items():
        slope = logs[name].grad
        assert slope is not None
        of_row = packed.row.numpy() if len(slope) == kernels else np.arange(rows)
        places = (of_row, np.arange(len(slope)))
        part = sparse.csr_matrix((slope.numpy(), places), shape=(rows, len(slope))) @ design
        total = part if total is None else total + part
    return total
