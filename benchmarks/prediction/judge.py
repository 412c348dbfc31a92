"""How far predictions are from measurements that the fit had not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from arrays import FIELDS, Numbers, Table, execution_of
from export import coefficients
from fit import Fit
from layers import LayerMeasurement
from numpy.typing import NDArray
from packed import Group, group, pack
from runs import Recorded, at_batch
from tables import Measurement

from archscope.ask.predict import Run, predicted
from archscope.latency.coefficients import Fitted, parsed
from archscope.latency.devices import has_tensor_cores
from archscope.latency.kernel import Kernel
from archscope.latency.model import kernel_seconds, step_seconds
from archscope.latency.rates import Rates
from archscope.latency.setting import Setting
from archscope.records import InputSpec, TensorSpec

FOLDS = 4
FEWEST = 50
"""Rows of networks that give an interval."""

EQUAL = 0.1
"""Networks are compared whose MACs agree within 10 % and whose times differ by more."""

HELD = 0.82
"""Share of held-out rows within an interval.

It should contain 80 % of measurements of another family, and holds 2 % less there than of those
that it was taken from.
"""


@dataclass
class Held:
    """Rows of one table with what was predicted without their family.

    Args:
        predicted: seconds.
        low, high: the interval's ends, from the other folds alone.
    """

    table: Table
    predicted: Numbers
    low: Numbers = field(default_factory=lambda: np.zeros(0))
    high: Numbers = field(default_factory=lambda: np.zeros(0))

    @property
    def ratio(self) -> Numbers:
        """Measured over predicted."""
        return self.table.seconds / self.predicted

    @property
    def error(self) -> Numbers:
        return np.abs(self.predicted / self.table.seconds - 1)


def folds(tables: Sequence[Table]) -> list[set[str]]:
    """The families of networks in a few sets, by a fixed seed."""
    families = np.unique(np.concatenate([table.families for table in tables]))
    np.random.default_rng(0).shuffle(families)
    return [set(families[place::FOLDS]) for place in range(FOLDS)]


def without(tables: Sequence[Table], families: set[str]) -> Iterator[Table]:
    """The tables without some families."""
    for table in tables:
        kept = np.flatnonzero([name not in families for name in table.families])
        if len(kept):
            yield table.taken(kept)


def fitted_without(
    tables: Sequence[Table], families: set[str], steps: int, devices: frozenset[str] = frozenset()
) -> tuple[Fit, Fitted]:
    """A fit that has not seen some families, or some devices, and its coefficients."""
    rest = [t for t in without(tables, families) if t.device.key not in devices]
    fit = Fit(rest)
    fit.fit(pack(rest, fit.kinds, fit.groups), steps)
    return fit, parsed(coefficients(fit, rest, {}, (0.7, 1.4), (0.6, 2.0), (0.85, 1.2)))


def at_interface(
    table: Table, given: Fitted, runs: Callable[[str, int, int], Run | None], setting: Setting,
    version: str,
) -> Numbers:  # fmt: skip
    """Seconds of every row by the function that `archscope.predict` calls.

    Args:
        table: whose networks are predicted.
        given: the coefficients.
        runs: a network, its side and its batch → what it runs.
        setting: how they run.
        version: of the software; that of the last table where empty.
    """
    measured = [
        row for row in given.measured
        if row.device != table.device.key or row.layers or row.software == version
        or (row.mode, row.compiled) != (setting.mode, setting.compiled) or not version
    ]  # fmt: skip
    chosen = Fitted(**{**vars(given), "measured": tuple(measured)})
    rates = Rates(table.device, setting, chosen)
    found = []
    for name, side, batch in zip(table.names, table.sides, table.batches, strict=True):
        run = runs(name, int(side), int(batch))
        found.append(np.nan if run is None else predicted(run, rates).seconds)
    return np.array(found)


def layers_at_interface(table: Table, given: Fitted) -> Numbers:
    """Seconds of every single layer, as `archscope.predict` times a network of one operator."""
    rates = Rates(table.device, Setting(table.mode, table.dtype), given)
    rows: list[list[Kernel]] = [[] for _ in table.seconds]
    for place, row in enumerate(table.row):
        kind, half = table.kinds[table.kind[place]], table.half[place]
        numbers = dict(zip(FIELDS, map(float, table.numbers[place]), strict=True))
        dtype = ("bfloat16" if table.dtype == "bfloat16" else "float16") if half else "float32"
        rows[row] += [Kernel(kind, dtype, **numbers)] * int(table.count[place])
    found = []
    for kernels in rows:
        alone = rates.alone(next(kernel.kind for kernel in kernels if kernel.kind != "bias"))
        timed = [(kernel, kernel_seconds(kernel, alone)) for kernel in kernels]
        found.append(step_seconds(timed, alone)[0])
    return np.array(found)


def runs_of(recorded: Recorded, table: Table) -> Callable[[str, int, int], Run | None]:
    """What finds the run of a network of a table."""
    setting = Setting(table.mode, table.dtype, table.layout, table.compiled)

    def run(name: str, side: int, batch: int) -> Run | None:
        one = Measurement(
            table.name, table.device.key, setting, table.software, name, side, batch, 1.0
        )
        execution = execution_of(one, recorded)
        if execution is None:
            return None
        spec = InputSpec((TensorSpec((batch, 3, side, side)),))
        return Run(name, spec, at_batch(execution, batch), (), (), ())

    return run


def intervals(held: Sequence[Held]) -> dict[Group, tuple[float, float]]:
    """What holds 80 % of the ratios of each group, on families held out.

    Groups of few networks are left out: too little was held out of them.
    """
    ratios: dict[Group, list[Numbers]] = {}
    for one in held:
        ratios.setdefault(group(one.table), []).append(one.ratio)
    tail = (1 - HELD) / 2
    return {
        name: tuple(map(float, np.quantile(np.concatenate(parts), [tail, 1 - tail])))  # type: ignore[misc]
        for name, parts in ratios.items()
        if name[-1] or sum(map(len, parts)) >= FEWEST
    }


def inside(held: Held) -> NDArray[np.bool_]:
    """Which rows are within intervals that come from the other families of the table.

    Every family's interval is that of all other families: it does not see its own rows.
    """
    found = np.zeros(len(held.ratio), bool)
    for family in np.unique(held.table.families):
        own = held.table.families == family
        if not own.all():
            low, high = np.quantile(held.ratio[~own], [(1 - HELD) / 2, (1 + HELD) / 2])
            found[own] = (held.ratio[own] >= low) & (held.ratio[own] <= high)
    return found


def inside_others(ratios: Mapping[str, Numbers]) -> dict[str, float]:
    """Share of each device's rows within the interval of all other devices.

    Args:
        ratios: measured over predicted of each device, by fits that it was left out of.
    """
    found = {}
    for key, own in ratios.items():
        others = [ratio for other, ratio in ratios.items() if other != key]
        if others:
            low, high = middle(np.concatenate(others))
            found[key] = float(((own >= low) & (own <= high)).mean())
    return found


def middle(ratios: Numbers) -> tuple[float, float]:
    """What 80 % of the ratios are between; any where there are none."""
    if not len(ratios):
        return float("nan"), float("nan")
    low, high = np.quantile(ratios, [0.1, 0.9])
    return float(low), float(high)


def proportional(amounts: Numbers, seconds: Numbers) -> Numbers:
    """Seconds by an amount alone, at the table's median rate."""
    found: Numbers = amounts * np.median(seconds / amounts)
    return found


def roofline(table: Table) -> Numbers:
    """Σ max(operations ÷ peak, bytes ÷ bandwidth) of the data sheet, nothing fitted."""
    at = {name: table.numbers[:, place] for place, name in enumerate(FIELDS)}
    peaks = table.device.peak_flops_per_second
    half = peaks["float16"] if has_tensor_cores(table.device) else peaks["float32"]
    plain = peaks.get("tf32", peaks["float32"]) if table.dtype == "tf32" else peaks["float32"]
    flops = 2 * at["times"] * at["rows"] * at["columns"] * at["depth"] + at["operations"]
    compute = flops / np.where(table.half, half, plain)
    memory = (at["read"] + at["written"]) / table.device.bandwidth_bytes_per_second
    longest = np.maximum(compute, memory) * table.count
    found: Numbers = np.bincount(table.row, longest, len(table.seconds))
    return found


def pairs(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Places of two networks each: like MACs a sample, unlike times a sample."""
    batches = np.maximum(table.batches, 1)
    macs, seconds = table.macs / batches, table.seconds / batches
    one, other = np.triu_indices(len(macs), 1)
    like = np.abs(np.log(macs[one] / macs[other])) < np.log(1 + EQUAL)
    unlike = np.abs(np.log(seconds[one] / seconds[other])) > np.log(1 + EQUAL)
    return one[like & unlike], other[like & unlike]


def named_faster(table: Table, amounts: Numbers) -> tuple[int, int]:
    """Pairs in which an amount a sample names the faster network, and all pairs."""
    one, other = pairs(table)
    batches = np.maximum(table.batches, 1)
    a_sample, seconds = amounts / batches, table.seconds / batches
    right = (a_sample[one] < a_sample[other]) == (seconds[one] < seconds[other])
    return int(right.sum()), len(one)


__all__ = ["FOLDS", "Held", "LayerMeasurement", "folds"]
