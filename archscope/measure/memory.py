"""Peak memory of a step by phase, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from archscope.errors import ArchscopeError
from archscope.measure import events
from archscope.measure.step import Step, TrainingStep, leaves

RESERVE = 0.05
"""Share of the memory that a predicted batch leaves free."""


def held(step: Step) -> dict[str, int]:
    """Bytes that stay between steps: parameters, buffers, optimiser state and the input."""
    found = {
        "parameters": storage_bytes(step.eager.parameters()),
        "buffers": storage_bytes(step.eager.buffers()),
        "input": storage_bytes(leaves([step.args, step.kwargs])),
    }
    if isinstance(step, TrainingStep):
        trainable = [p for p in step.eager.parameters() if p.requires_grad]
        found["gradients"] = storage_bytes(trainable)
        if step.optimizer is not None:
            found["optimizer state"] = storage_bytes(leaves(list(step.optimizer.state.values())))
    return found


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages behind some tensors."""
    sizes = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors
    }
    return sum(sizes.values())


def peak_bytes(step: Step) -> dict[str, int]:
    """What is held, and `<phase> allocated` (on CUDA also `<phase> reserved`) at its peak.

    `activations` is what the forward pass leaves behind for the backward pass.
    Allocators without statistics (MPS) give what is held only.
    """
    step()
    found = held(step)
    if step.device.type == "cuda":
        found |= _cuda_peaks(step)
    elif step.device.type == "cpu":
        found |= _cpu_peaks(step, found)
    return found


def _cuda_peaks(step: Step) -> dict[str, int]:
    found = {}
    for phase, stage in step.stages.items():
        torch.cuda.synchronize(step.device)
        before = torch.cuda.memory_allocated(step.device)
        torch.cuda.reset_peak_memory_stats(step.device)
        stage()
        torch.cuda.synchronize(step.device)
        found[f"{phase} allocated"] = torch.cuda.max_memory_allocated(step.device)
        found[f"{phase} reserved"] = torch.cuda.max_memory_reserved(step.device)
        if phase == "forward":
            found["activations"] = torch.cuda.memory_allocated(step.device) - before
    return found


def _cpu_peaks(step: Step, held_bytes: dict[str, int]) -> dict[str, int]:
    """Follow every allocation of one profiled step, starting from what is held."""
    # There is one cycle; without `acc_events` PyTorch 2.11 warns that only the last one is kept.
    profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)
    with profiler as session:
        for phase, stage in step.stages.items():
            with torch.profiler.record_function(events.STAGE + phase):
                stage()
    results: Any = session.profiler
    raw = sorted(results.kineto_results.events(), key=lambda event: event.start_ns())
    spans = {
        event.name().removeprefix(events.STAGE): (
            event.start_ns(), event.start_ns() + event.duration_ns()
        )
        for event in raw
        if event.name().startswith(events.STAGE)
    }  # fmt: skip
    live = sum(held_bytes.values()) - held_bytes.get("gradients", 0)
    start, found = live, {}
    for phase, (begin, end) in spans.items():
        peak = live
        for event in raw:
            if event.name() == "[memory]" and begin <= event.start_ns() <= end:
                live += event.nbytes()
                peak = max(peak, live)
        found[f"{phase} allocated"] = peak
        if phase == "forward":
            found["activations"] = live - start
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator, of the device or the host, had no more to give."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and ("not enough memory" in text or "can't allocate memory" in text)
    )


def available_bytes(device: torch.device) -> int:
    """Memory that a new process could use: free on the device, available on the host."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise ArchscopeError(
        f"--max-batch on {device}", "the system does not say how much memory is free", "use CUDA"
    )


def largest_batch(
    peak_at: Callable[[int], int], fits: Callable[[int], bool], limit_bytes: int, first: int = 2
) -> tuple[int, int]:
    """The largest batch that runs, by two predictions and a confirmation.

    Peak memory is a straight line in the batch size for nearly every network: two peaks give a
    first prediction, a third peak near it corrects the slope, and a real run must confirm it.

    Args:
        peak_at: bytes at the peak of a step of that batch.
        fits: whether steps of that batch run in a process of their own.
        limit_bytes: memory there is; a twentieth of it stays free.
        first: the smaller of the two batches tried.

    Returns:
        The batch, 0 when not even one sample runs, and its predicted peak in bytes.
    """
    room = (1 - RESERVE) * limit_bytes
    low, high = first, 2 * first
    peaks = {low: peak_at(low), high: peak_at(high)}
    guess = _predicted(peaks, low, high, room)
    if guess > 8 * high:
        near = max(high + 1, guess // 4)
        peaks[near] = peak_at(near)
        guess = _predicted(peaks, high, near, room)
        low, high = high, near
    while guess >= 1 and not fits(guess):
        guess = min(guess - 1, int(guess * 0.9))
    slope = (peaks[high] - peaks[low]) / (high - low)
    return max(guess, 0), round(peaks[high] + slope * (guess - high))


def _predicted(peaks: dict[int, int], low: int, high: int, room: float) -> int:
    slope = (peaks[high] - peaks[low]) / (high - low)
    if slope <= 0:
        return high
    return int(low + (room - peaks[low]) / slope)
