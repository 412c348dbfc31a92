"""Predicted training memory against the batches that ran on a GPU of 24 GiB.

    python benchmarks/training_memory.py FOLDER [--every N] [--today]

FOLDER holds timm's published `benchmark-train-amp-*-rtx3090.csv`
(huggingface/pytorch-image-models, `results/`, Apache-2.0).
timm's benchmark falls from batch 512 through the sizes below until a step runs: where it ended
below 512, the step needs at most 24 GiB at that batch and more at the next larger one, unless
another error lowered it.
A prediction is right where both hold.
A network that has another number of parameters today is not counted.
Predicted is what ran then (`THEN`), or a step of today's PyTorch with `--today`.
Printed: the share of right predictions by table, of networks with scaled dot-product attention and
of the others, then every miss with the predicted shares of 24 GiB at the two batches.
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


THEN = {"attention": "eager", "accumulate": 2}
"""How PyTorch 1.10 to 1.12 ran timm's step: they had no scaled dot-product attention, and
`zero_grad()` filled gradients with zeros (`set_to_none=False`), so that a pass finds them there as
if it were a later one that one update adds up."""


@dataclass(frozen=True)
class Run:
    """The largest batch of a network that ran, and its parameters in millions."""

    table: str
    model: str
    side: int
    batch: int
    millions: float


def runs(folder: Path, every: int) -> Iterator[Run]:
    """The rows below the first batch, of one in so many of the networks."""
    found: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for path in sorted(folder.glob("benchmark-train-amp-*.csv")):
        table = path.stem.removeprefix("benchmark-train-amp-").removesuffix("-rtx3090")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                batch = int(row["train_batch_size"])
                if batch < BATCHES[0]:
                    side, millions = int(row["train_img_size"]), float(row["param_count"])
                    run = Run(table, row["model"], side, batch, millions)
                    found[run.model, run.side].append(run)
    for key in sorted(found)[::every]:
        yield from found[key]


@dataclass(frozen=True)
class Predicted:
    """What a step is predicted to need.

    Args:
        share: the peak over 24 GiB.
        attends: whether it calls scaled dot-product attention.
        millions: of its parameters.
    """

    share: float
    attends: bool
    millions: float


@cache
def predicted(model: str, side: int, batch: int, today: bool) -> Predicted:
    step = {} if today else THEN
    answer = archscope.memory(
        f"timm:{model}", f"3x{side}x{side}", batch=batch, dtype="amp", optimizer="momentum",
        **step,
    )  # fmt: skip
    peak = answer.record.peak
    return Predicted(peak.total / CAPACITY, attends(model), peak.parameters / 4e6)


@cache
def attends(model: str) -> bool:
    """Whether the network has a module with timm's switch of fused attention."""
    import timm
    import torch

    with torch.device("meta"):
        network = timm.create_model(model)
    return any(getattr(module, "fused_attn", False) for module in network.modules())


def percentages(name: str, found: list[bool]) -> str:
    return f"{name:18} {sum(found)} of {len(found)}, {sum(found) / len(found):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--today", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    right: dict[str, list[bool]] = defaultdict(list)
    unknown, misses = set(), []
    for run in runs(options.folder, options.every):
        larger = BATCHES[BATCHES.index(run.batch) - 1]
        try:
            ran, failed = (
                predicted(run.model, run.side, batch, options.today)
                for batch in (run.batch, larger)
            )
        except archscope.ArchscopeError as error:
            unknown.add(str(error))
            continue
        if abs(ran.millions - run.millions) > 0.01 * run.millions:
            unknown.add(f"{run.model} has {ran.millions:.1f} M parameters, then {run.millions} M")
            continue
        inside = ran.share <= 1 < failed.share
        for group in (run.table, "attention" if ran.attends else "no attention", "together"):
            right[group].append(inside)
        if not inside:
            needs = f"{run.batch}: {ran.share:.2f}, {larger}: {failed.share:.2f}"
            misses.append(f"{run.table:18} {run.model:36} {run.side} {needs}")
    print(*(percentages(*group) for group in right.items()), sep="\n")
    print(f"{len(unknown)} networks are not counted:", *sorted(unknown), sep="\n")
    print(*misses, sep="\n")


if __name__ == "__main__":
    main()
