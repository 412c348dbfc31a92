"""Predicted training memory against the batches that ran on a GPU of 24 GiB.

    python benchmarks/training_memory.py FOLDER [--every N] [--attention sdpa|eager]

FOLDER holds timm's published `benchmark-train-amp-*-rtx3090.csv`
(huggingface/pytorch-image-models, `results/`, Apache-2.0).
timm's benchmark falls from batch 512 through the sizes below until a step runs: where it ended
below 512, the step needs at most 24 GiB at that batch and more at the next larger one, unless
another error lowered it.
A prediction is right where both hold.
Printed: the share of right predictions by table, then every miss with the predicted shares of
24 GiB at the two batches.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import archscope

CAPACITY = 24 * 2**30
BATCHES = (512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""timm's `decay_batch_step`: powers of two with one step between."""


@dataclass(frozen=True)
class Run:
    """The largest batch of a network that ran."""

    table: str
    model: str
    side: int
    batch: int


def runs(folder: Path, every: int) -> Iterator[Run]:
    """The rows below the first batch, of one in so many of the networks."""
    found: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for path in sorted(folder.glob("benchmark-train-amp-*.csv")):
        table = path.stem.removeprefix("benchmark-train-amp-").removesuffix("-rtx3090")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                batch = int(row["train_batch_size"])
                if batch < BATCHES[0]:
                    run = Run(table, row["model"], int(row["train_img_size"]), batch)
                    found[run.model, run.side].append(run)
    for key in sorted(found)[::every]:
        yield from found[key]


@cache
def share(model: str, side: int, batch: int, attention: str) -> float:
    """The predicted peak over 24 GiB."""
    answer = archscope.memory(
        f"timm:{model}", f"3x{side}x{side}", batch=batch, dtype="amp", optimizer="momentum",
        attention=attention,
    )  # fmt: skip
    return answer.record.peak.total / CAPACITY


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--attention", default="sdpa")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    right: dict[str, list[bool]] = defaultdict(list)
    misses = []
    for run in runs(options.folder, options.every):
        larger = BATCHES[BATCHES.index(run.batch) - 1]
        try:
            ran, failed = (
                share(run.model, run.side, batch, options.attention)
                for batch in (run.batch, larger)
            )
        except archscope.ArchscopeError as error:
            print(f"not counted: {error}", flush=True)
            continue
        inside = ran <= 1 < failed
        right[run.table].append(inside)
        if not inside:
            misses.append(f"{run.table:18} {run.model:36} {run.side} "
                          f"{run.batch}: {ran:.2f}, {larger}: {failed:.2f}")  # fmt: skip
    for table, found in right.items():
        print(f"{table:18} {sum(found)} of {len(found)}, {sum(found) / len(found):.1%}")
    everything = [inside for found in right.values() for inside in found]
    print(f"{'together':18} {sum(everything)} of {len(everything)}, "
          f"{sum(everything) / len(everything):.1%}")  # fmt: skip
    print(*misses, sep="\n")


if __name__ == "__main__":
    main()
