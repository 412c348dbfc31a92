"""Peak memory against sums done by hand, and the search for the largest batch."""

import weakref

import pytest
import torch
from torch import nn

from archscope.errors import ArchscopeError
from archscope.measure import memory
from archscope.measure.memory import (
    available_bytes,
    bound_bytes,
    forbid_growth,
    growth,
    is_out_of_memory,
    largest_batch,
    peak_bytes,
    release,
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
    # which is not an activation; the scalar loss remains.
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


def test_an_earlier_step_is_gone_before_the_next_one_is_measured():
    """A GPU's peak counts every tensor of the process, and a step refers to itself."""
    step = TrainingStep(chain(), spec(), Settings(), CPU)
    step()
    weight = weakref.ref(next(step.eager.parameters()))
    del step
    release(CPU)
    assert weight() is None


def test_a_storage_counts_once():
    base = torch.zeros(100)
    assert storage_bytes([base, base[10:], base.view(10, 10)]) == 400


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, answer):
    assert is_out_of_memory(error) is answer


def line(batch):
    return 10_000 + 100 * batch


def test_largest_batch_of_a_straight_line_is_found_with_two_peaks_and_two_trials():
    tried = []

    def trial(batch):
        tried.append(batch)
        return line(batch)

    batch, peak = largest_batch(line, trial, bound=190_000)
    assert batch == (190_000 - 10_000) // 100
    assert peak == line(batch)
    assert tried == [batch // 4, batch]


def test_what_a_process_takes_besides_its_tensors_corrects_the_prediction():
    """Libraries take half as much again: at most (190,000 − 10,000) / 150 samples."""
    batch, _ = largest_batch(line, lambda n: 10_000 + 150 * n, bound=190_000)
    assert 1190 <= batch <= 1200


def test_a_process_that_takes_far_more_than_its_tensors_is_met_by_halving():
    """Eight times as much, so that already the trial on the way (450) runs out of memory."""
    tried = []

    def trial(batch):
        tried.append(batch)
        peak = 10_000 + 800 * batch
        return peak if peak <= 200_000 else None

    batch, peak = largest_batch(line, trial, bound=190_000)
    assert tried[:3] == [450, 225, tried[2]]
    assert 0.9 * 225 <= batch <= 225 and peak <= 190_000


def test_a_batch_that_runs_beyond_the_bound_is_not_the_answer():
    batch, peak = largest_batch(line, lambda n: line(n) + (n > 1000) * 100_000, bound=190_000)
    assert batch <= 1000 and peak <= 190_000


def test_a_prediction_that_does_not_run_is_lowered_until_one_does():
    asked = []

    def trial(batch):
        asked.append(batch)
        return line(batch) if batch <= 1000 else None

    batch, peak = largest_batch(line, trial, bound=190_000)
    assert 900 <= batch <= 1000 and peak == line(batch)
    near, *guesses = asked
    assert near <= 1000 and guesses == sorted(guesses, reverse=True)


def test_not_even_one_sample_may_fit():
    assert largest_batch(line, lambda n: None, bound=190_000) == (0, 0)


@pytest.mark.parametrize("largest", [0, 1, 3, 20])
def test_running_out_of_memory_while_predicting_is_an_answer(largest):
    """The network needs far more than its first batches foretell."""
    peaks = lambda n: 1000 * n if n <= largest else None  # noqa: E731
    batch, _ = largest_batch(peaks, peaks, bound=190_000)
    assert largest / 2 <= batch <= largest


def test_a_host_keeps_a_fifth_of_its_memory_free():
    assert bound_bytes(CPU, 1000) == 800
    assert bound_bytes(torch.device("cuda"), 1000) == 950


def test_memory_available_is_known_on_linux():
    assert available_bytes(CPU) > 2**20


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [("5000000", "2000000", 3_000_000), ("max", "2000000", 8_000 * 1024), (None, None, 8_192_000)],
)
def test_a_container_leaves_no_more_than_its_limit(limit, used, expected, tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(used + "\n")
    assert available_bytes(CPU) == expected


def test_a_system_that_does_not_say_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "missing")
    with pytest.raises(ArchscopeError, match="does not report how much memory is free"):
        available_bytes(CPU)


@pytest.mark.skipif(not memory.MEMINFO.exists(), reason="this system has no /proc/meminfo")
def test_growth_tells_what_a_process_took_at_its_peak():
    taken = growth(CPU)
    block = torch.ones(400 << 20, dtype=torch.int8)
    del block
    # An earlier peak of this process may have been higher still.
    assert taken() >= 390 << 20


def test_a_process_can_be_kept_from_filling_the_machine():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        forbid_growth(200 << 20)
        torch.ones(20 << 20, dtype=torch.int8)
        with pytest.raises(RuntimeError) as caught:
            torch.ones(600 << 20, dtype=torch.int8)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert is_out_of_memory(caught.value)
