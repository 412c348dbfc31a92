"""Peak memory of a step by phase, and the largest batch that fits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from archscope.errors import ArchscopeError
from archscope.measure import events
from archscope.measure.step import Step, TrainingStep, leaves


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


CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def available_bytes(device: torch.device) -> int:
    """Memory that a new process could use: free on the device, available on the host.

    On a host also no more than its control group (a container) leaves.

    Raises:
        ArchscopeError: the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if MEMINFO.exists():
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min([int(line.split()[1]) * 1024, *_left_by_control_groups()])
    raise ArchscopeError(
        f"--max-batch on {device}", "the system does not say how much memory is free", "use CUDA"
    )


def _left_by_control_groups() -> Iterator[int]:
    """Of both versions of control groups, those with a limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # not there, or the word "max"
            yield int((CGROUP / limit).read_text()) - int((CGROUP / used).read_text())


def bound_bytes(device: torch.device, available: int) -> int:
    """How much of the available memory a batch may take.

    A GPU's memory may be filled to a twentieth; of a host's a fifth stays for other programs.
    """
    return int((0.95 if device.type == "cuda" else 0.8) * available)


def forbid_growth(most_bytes: int) -> None:
    """Let this process allocate at most so much more on the host: beyond, allocation fails.

    Without it a batch that does not fit would push out every other program before it fails.
    Does nothing on a system that cannot limit a process.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    data = int(statm.read_text().split()[5]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = data + most_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def largest_batch(
    peak_at: Callable[[int], int | None], fits: Callable[[int], bool], bound: int, first: int = 2
) -> tuple[int, int]:
    """The largest batch that runs, by two predictions and a confirmation.

    Peak memory is a straight line in the batch size for nearly every network: two peaks give a
    first prediction, a third peak near it corrects the slope, and a real run must confirm it.

    Args:
        peak_at: bytes at the peak of a step of that batch, `None` where it runs out of memory.
        fits: whether steps of that batch run in a process of their own.
        bound: bytes that a step may take.
        first: the smaller of the two batches tried.

    Returns:
        The batch, 0 when not even one sample runs, and its predicted peak in bytes (0 unknown).
    """
    peaks: dict[int, int] = {}

    def known(batch: int) -> bool:
        peak = peak_at(batch)
        if peak is not None:
            peaks[batch] = peak
        return peak is not None

    low, high = first, 2 * first
    if known(low) and known(high):
        guess = _predicted(peaks, low, high, bound)
    else:
        guess = (high if low in peaks else low) - 1
    if guess > 8 * high:
        near = guess // 4
        if known(near):
            guess, low, high = _predicted(peaks, high, near, bound), high, near
        else:
            guess = near - 1
    while guess >= 1 and not fits(guess):
        guess = min(guess - 1, int(guess * 0.9))
    if len(peaks) < 2:
        return max(guess, 0), 0
    slope = (peaks[high] - peaks[low]) / (high - low)
    return max(guess, 0), round(peaks[high] + slope * (guess - high))


def _predicted(peaks: dict[int, int], low: int, high: int, bound: int) -> int:
    slope = (peaks[high] - peaks[low]) / (high - low)
    if slope <= 0:
        return high
    return int(low + (bound - peaks[low]) / slope)
