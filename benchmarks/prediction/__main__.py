"""Fit the coefficients of predictions, and judge them on families of networks held out.

`python benchmarks/prediction tables` runs every network of the public tables once on meta and keeps
what it launches in `--work`: an hour. The tables stand in `../shared/latency`.
`judge` then fits without some families of networks and prints the errors on them, beside what
multiply-accumulates alone, bytes alone and a roofline of the data sheet would say; `devices` leaves
out one device at a time. `write` does both, fits everything, and writes `coefficients.json` with
the intervals that the two judgements found: the same file each time.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from arrays import Numbers, Table, joined, layer_tables, network_table, saved_tables
from export import Interval, coefficients, written
from fit import Fit
from judge import (
    FOLDS,
    Held,
    at_interface,
    fitted_without,
    folds,
    inside,
    inside_others,
    intervals,
    layers_at_interface,
    middle,
    named_faster,
    proportional,
    roofline,
    runs_of,
)
from layers import layer_measurements
from packed import group, pack
from runs import Recorded
from tables import Measurement, measurements

from archscope.latency.coefficients import Fitted
from archscope.latency.setting import Setting

COEFFICIENTS = Path(__file__).parents[2] / "archscope" / "latency" / "coefficients.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("tables", "judge", "devices", "write"))
    parser.add_argument("--work", type=Path, default=Path("build/prediction"))
    parser.add_argument("--rows", type=int, default=400, help="at most, of one table")
    parser.add_argument("--steps", type=int, default=40, help="of the fit, at most")
    parser.add_argument("--only", default="", help="tables, or devices, that hold this")
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the four to judge")
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time, each in a process")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "tables":
        make_tables(given.work, given.only)
        return
    fits = Fits(given.work, given.rows, given.steps)
    if not fits.tables:
        sys.exit("no tables: run `python benchmarks/prediction tables` first")
    with ProcessPoolExecutor(given.jobs, get_context("fork")) as pool:
        if given.what == "judge":
            judge(fits, pool, given.folds)
        elif given.what == "devices":
            judge_devices(fits, pool, given.only)
        else:
            write(fits, pool)


@dataclass(frozen=True)
class Fits:
    """What every fit is made from; each runs in a process of its own.

    Args:
        work: the folder of the tables and of recorded runs.
        rows: of each table, at most.
        steps: of a fit, at most.
    """

    work: Path
    rows: int
    steps: int

    @property
    def tables(self) -> list[Table]:
        """Some rows of each table, read once: processes that start later find them in memory."""
        return loaded(self.work, self.rows)

    def without_families(self, families: set[str]) -> list[Held]:
        """The rows of some families, as a fit without them predicts them."""
        fit, given = fitted_without(self.tables, families, self.steps)
        recorded, found = Recorded(self.work), []
        for table in self.tables:
            rows = np.flatnonzero([name in families for name in table.families])
            if len(rows) and group(table) in fit.groups:
                part = table.taken(rows)
                found.append(Held(part, _predicted(part, fit, given, recorded)))
        return found

    def without_device(self, key: str) -> list[Held]:
        """Some rows of a device, as a fit without all its tables predicts them."""
        some = [table.drawn(OF_DEVICES) for table in self.tables]
        _, given = fitted_without(some, set(), self.steps, frozenset([key]))
        recorded = Recorded(self.work)
        parts = [table.drawn(ROWS_OF_DEVICE) for table in self.tables if table.device.key == key]
        return [Held(part, _on_new_device(part, given, recorded)) for part in parts]

    def of_all(self) -> tuple[Fit, float]:
        """The fit of every row, and the loss that is left."""
        fit = Fit(self.tables)
        return fit, fit.fit(pack(self.tables, fit.kinds, fit.groups), self.steps)


def make_tables(work: Path, only: str) -> None:
    """Run all networks and write the arrays of every table that is not there."""
    (work / "tables").mkdir(parents=True, exist_ok=True)
    recorded = Recorded(work)
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for one in measurements():
        groups[one.table].append(one)
    for name, ones in groups.items():
        path = work / "tables" / f"{name}.pkl"
        if only in name and not path.exists():
            start = time.perf_counter()
            table = network_table(ones, recorded)
            if table is not None:
                path.write_bytes(pickle.dumps(table))
                print(f"{name}: {len(table.seconds)} of {len(ones)} rows, "
                      f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
    if "layers".startswith(only):
        for table in layer_tables(layer_measurements()):
            (work / "tables" / f"layers-{table.name}.pkl").write_bytes(pickle.dumps(table))


@cache
def loaded(work: Path, most: int) -> list[Table]:
    """The arrays of all tables, some rows of each."""
    found = (pickle.loads(path.read_bytes()) for path in saved_tables(work).values())
    return [table.drawn(most // 2 if table.layers else most) for table in found]


def judge(fits: Fits, pool: Executor, how_many: int) -> list[Held]:
    """Errors on families held out, table by table."""
    held = held_out(fits, pool, how_many)
    print("\n| table | rows | median | 90 % | bias | in interval | MACs | bytes | roofline |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|--:|")
    for one in held:
        if not one.table.layers:
            print(networks_line(one))
    layers_lines(held)
    faster_lines(held)
    return held


def held_out(fits: Fits, pool: Executor, how_many: int) -> list[Held]:
    """All rows of some folds with what was predicted by a fit without their families."""
    parts: dict[str, list[Held]] = defaultdict(list)
    chosen = folds(fits.tables)[:how_many]
    for number, found in enumerate(pool.map(fits.without_families, chosen), 1):
        print(f"fold {number} of {how_many}", flush=True)
        for part in found:
            parts[part.table.name].append(part)
    held = [_joined(found) for found in parts.values()]
    (fits.work / "held.pkl").write_bytes(pickle.dumps(held))
    return held


def _predicted(part: Table, fit: Fit, given: Fitted, recorded: Recorded) -> Numbers:
    """By the arrays of the fit, and where it knows not all kinds, by the public function.

    Some rows that both know must agree: the arrays are only faster.
    """
    found = np.full(len(part.seconds), np.nan)
    strange = np.array([kind not in fit.kinds for kind in part.kinds])
    known = np.setdiff1d(np.arange(len(found)), part.row[strange[part.kind]])
    if len(known):
        found[known] = fit.predicted(pack([part.taken(known)], fit.kinds, fit.groups))
    if part.layers:
        return found
    chosen = np.concatenate([np.setdiff1d(np.arange(len(found)), known), known[:BOTH]])
    setting = Setting(part.mode, part.dtype, part.layout, part.compiled)
    some = part.taken(np.sort(chosen))
    public = at_interface(some, given, runs_of(recorded, some), setting, part.software)
    apart = np.abs(public / found[np.sort(chosen)] - 1)
    if np.nanmax(apart, initial=0) > SAME:
        sys.exit(f"{part.name}: archscope.predict is {np.nanmax(apart):.1%} from the fit's arrays")
    found[np.sort(chosen)] = public
    return found


def _joined(parts: Sequence[Held]) -> Held:
    """The rows of one table from several folds, without those that could not be predicted."""
    table = joined([part.table for part in parts])
    predicted = np.concatenate([part.predicted for part in parts])
    known = np.flatnonzero(np.isfinite(predicted))
    return Held(table.taken(known), predicted[known])


def networks_line(one: Held) -> str:
    """One table of networks, as a row of Markdown."""
    table = one.table

    def median(seconds: Numbers) -> str:
        return f"{np.median(np.abs(seconds / table.seconds - 1)):.1%}"

    cells = [
        table.name, f"{len(table.seconds)}", f"{np.median(one.error):.1%}",
        f"{np.quantile(one.error, 0.9):.1%}", f"{np.median(1 / one.ratio):.3f}",
        f"{inside(one).mean():.0%}", median(proportional(table.macs, table.seconds)),
        median(proportional(table.bytes_moved, table.seconds)), median(roofline(table)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def layers_lines(held: Sequence[Held]) -> None:
    """Single layers by what was timed, over all tables."""
    errors: dict[str, list[Numbers]] = defaultdict(list)
    within: dict[str, list[Numbers]] = defaultdict(list)
    for one in held:
        if one.table.layers:
            names, of_interval = np.array(one.table.names), inside(one)
            for what in map(str, np.unique(names)):
                errors[what].append(one.error[names == what])
                within[what].append(of_interval[names == what])
    print("\n| layer | rows | median | 90 % | in interval |\n|:--|--:|--:|--:|--:|")
    for what, parts in sorted(errors.items()):
        error, share = np.concatenate(parts), np.concatenate(within[what]).mean()
        print(f"| {what} | {len(error)} | {np.median(error):.1%} | {np.quantile(error, 0.9):.1%} | "
              f"{share:.0%} |")  # fmt: skip


def faster_lines(held: Sequence[Held]) -> None:
    """Which of two networks of like MACs is faster, by several amounts."""
    print("\n| table | pairs | MACs | bytes | prediction |\n|:--|--:|--:|--:|--:|")
    for one in held:
        table = one.table
        if table.layers:
            continue
        amounts = (table.macs, table.bytes_moved, one.predicted)
        found = [named_faster(table, amount) for amount in amounts]
        if found[0][1] >= FEWEST_PAIRS:
            shares = " | ".join(f"{right / total:.1%}" for right, total in found)
            print(f"| {table.name} | {found[0][1]} | {shares} |")


def judge_devices(fits: Fits, pool: Executor, only: str) -> tuple[Interval, Interval]:
    """Errors on devices held out, from their data sheets.

    Returns:
        The ends between which 80 % of the measured times lie, over the predicted ones: of
        networks, and of single layers.
    """
    print("| device, table | rows | median | 90 % | bias |\n|:--|--:|--:|--:|--:|")
    keys = list(dict.fromkeys(t.device.key for t in fits.tables if only in t.device.key))
    ratios: dict[bool, dict[str, list[Numbers]]] = {False: {}, True: {}}
    for key, found in zip(keys, pool.map(fits.without_device, keys), strict=True):
        for one in found:
            ratio = one.ratio[np.isfinite(one.ratio)]
            ratios[one.table.layers].setdefault(key, []).append(ratio)
            print(f"| {key}, {one.table.name} | {len(one.ratio)} | {np.median(one.error):.1%} | "
                  f"{np.quantile(one.error, 0.9):.1%} | {np.median(1 / one.ratio):.3f} |",
                  flush=True)  # fmt: skip
    return _left_out("networks", ratios[False]), _left_out("layers", ratios[True])


def _left_out(what: str, ratios: Mapping[str, Sequence[Numbers]]) -> Interval:
    """The interval of devices left out, printed with how many rows those of others hold."""
    joined_ratios = {key: np.concatenate(parts) for key, parts in ratios.items()}
    every = np.concatenate([*joined_ratios.values(), np.zeros(0)])
    low, high = middle(every)
    print(f"\n80 % of {len(every):,} {what} on {len(ratios)} GPUs take {low:.3f} to {high:.3f} "
          f"times the prediction; within the interval of the other GPUs:")  # fmt: skip
    shares = inside_others(joined_ratios)
    for key, share in shares.items():
        print(f"  {key}: {share:.0%} of {len(joined_ratios[key])}")
    if shares:
        total = sum(share * len(joined_ratios[key]) for key, share in shares.items())
        print(f"  all: {total / len(every):.1%}", flush=True)
    return low, high


def _on_new_device(part: Table, given: Fitted, recorded: Recorded) -> Numbers:
    if part.layers:
        return layers_at_interface(part, given)
    setting = Setting(part.mode, part.dtype, part.layout, part.compiled)
    return at_interface(part, given, runs_of(recorded, part), setting, "")


def write(fits: Fits, pool: Executor) -> None:
    """Judge, fit all rows, and write the coefficients with their intervals."""
    of_all = pool.submit(fits.of_all)
    held = judge(fits, pool, FOLDS)
    (low, high), layers = judge_devices(fits, pool, "")
    fit, left = of_all.result()
    print(f"loss {left:.0f}, {len(fit.groups)} tables of {len(fit.devices)} devices")
    data = coefficients(
        fit, fits.tables, intervals(held), (low, high), layers,
        (low**CALIBRATED, high**CALIBRATED),
    )  # fmt: skip
    COEFFICIENTS.write_text(written(data), "utf-8")


FEWEST_PAIRS = 20

OF_DEVICES = 120
"""Rows of a table that a device left out is fitted without: fewer, since there are many devices."""

ROWS_OF_DEVICE = 30
"""Rows of its tables that are predicted then."""

BOTH = 1
"""Rows of each table and fold that are predicted in both ways, besides those of new kinds."""

SAME = 0.01
"""How far both may be apart: numbers of the file are rounded."""

CALIBRATED = 0.6
"""Width of the interval after a calibration over that before, in logarithms."""


if __name__ == "__main__":
    main()
