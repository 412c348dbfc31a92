"""Predictions against batches that ran on an RTX 3090 of 24 GiB, and did not one step larger.

The tables are timm's (huggingface/pytorch-image-models, `results/`); networks that torchvision has
too are predicted from there. `benchmarks/training_memory.py` predicts all of them.
"""

import csv
from pathlib import Path

import pytest

import archscope

TABLES = sorted(
    (Path(__file__).parents[4] / "shared/latency/timm").glob("benchmark-train-amp-*-rtx3090.csv")
)
BATCHES = (512, 384, 256, 192, 128, 96, 64, 48, 32)
CAPACITY = 24 * 2**30


def largest_batches(model):
    """The batch of each table that is below the first one tried."""
    found = set()
    for table in TABLES:
        with table.open(newline="") as file:
            found |= {
                int(row["train_batch_size"])
                for row in csv.DictReader(file)
                if row["model"] == model and row["train_img_size"] == "224"
            }
    return found - {BATCHES[0]}


def needed(model, batch):
    answer = archscope.memory(
        model, "3x224x224", batch=batch, dtype="amp", optimizer="momentum", attention="eager"
    )
    return answer.record.peak.total


@pytest.mark.skipif(not TABLES, reason="needs the published tables beside the checkout")
@pytest.mark.parametrize("model", ["resnext50_32x4d", "densenet121"])
def test_the_largest_batch_that_ran_fits_and_the_next_does_not(model):
    (batch,) = largest_batches(model)
    larger = BATCHES[BATCHES.index(batch) - 1]
    assert needed(model, batch) <= CAPACITY < needed(model, larger)
