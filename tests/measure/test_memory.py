"""Peak memory against sums done by hand, and the search for the largest batch."""

import pytest
import torch
from torch import nn

from archscope.measure.memory import (
    available_bytes,
    is_out_of_memory,
    largest_batch,
    peak_bytes,
    storage_bytes,
)
from archscope.measure.step import InferenceStep, Settings, TrainingStep
from archscope.records import InputSpec, TensorSpec

CPU = torch.device("cpu")
N, WIDTH = 384, 256
FLOAT = 4


def chain():
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH, bias=False), nn.ReLU(), nn.Linear(WIDTH, WIDTH, bias=False),
        nn.Unflatten(1, (WIDTH, 1)),
    )  # fmt: skip


def spec():
    return InputSpec((TensorSpec((N, WIDTH)),))


def test_training_memory_is_the_sum_done_by_hand():
    found = peak_bytes(TrainingStep(chain(), spec(), Settings(optimizer="adam"), CPU))
    weights = 2 * WIDTH * WIDTH * FLOAT
    result = N * WIDTH * FLOAT
    assert found["parameters"] == found["gradients"] == weights
    assert found["input"] == result
    # Two moments a weight, and a step counter a tensor.
    assert found["optimizer state"] == 2 * weights + 2 * FLOAT
    # ReLU keeps its output, which the second layer keeps too; the first layer keeps the input,
    # which is no activation; the scalar loss remains.
    assert found["activations"] == pytest.approx(result, abs=1024)
    held = weights + result + 2 * weights
    # At the forward peak the outputs of two neighbouring layers are alive.
    assert found["forward allocated"] == pytest.approx(held + 2 * result, rel=0.01)
    assert found["backward allocated"] > found["forward allocated"]


def test_inference_keeps_no_activations():
    found = peak_bytes(InferenceStep(chain(), spec(), Settings(), CPU))
    assert "gradients" not in found
    held = 2 * WIDTH * WIDTH * FLOAT + N * WIDTH * FLOAT
    assert found["inference allocated"] == pytest.approx(held + 2 * N * WIDTH * FLOAT, rel=0.01)


def test_a_storage_counts_once():
    base = torch.zeros(100)
    assert storage_bytes([base, base[10:], base.view(10, 10)]) == 400


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, answer):
    assert is_out_of_memory(error) is answer


def test_largest_batch_of_a_straight_line_is_found_with_three_peaks():
    tried = []

    def peak_at(batch):
        tried.append(batch)
        return 10_000 + 100 * batch

    batch, peak = largest_batch(peak_at, lambda n: True, limit_bytes=200_000)
    assert batch == (0.95 * 200_000 - 10_000) // 100
    assert peak == 10_000 + 100 * batch
    assert len(tried) == 3


def test_a_prediction_that_does_not_run_is_lowered_until_one_does():
    asked = []

    def fits(batch):
        asked.append(batch)
        return batch <= 1000

    batch, _ = largest_batch(lambda n: 10_000 + 100 * n, fits, limit_bytes=200_000)
    assert 900 <= batch <= 1000
    assert asked == sorted(asked, reverse=True)


def test_not_even_one_sample_may_fit():
    batch, _ = largest_batch(lambda n: 10_000 + 100 * n, lambda n: False, limit_bytes=200_000)
    assert batch == 0


def test_memory_available_is_known_on_linux():
    assert available_bytes(CPU) > 2**20
