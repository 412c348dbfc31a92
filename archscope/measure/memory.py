"""Peak memory of a step by phase, and the largest batch that fits."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from archscope.errors import ArchscopeError
from archscope.measure.step import Step, TrainingStep, leaves
from archscope.parameters import parameter
from archscope.traces.events import STAGE


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


def release(device: torch.device) -> None:
    """Free what nobody uses any more, and give a GPU's cached memory back.

    A step refers to itself (its stages are its own methods), so only the garbage collector ends
    one, and until then its tensors count as in use.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _cuda_peaks(step: Step) -> dict[str, int]:
    release(step.device)
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
            with torch.profiler.record_function(STAGE + phase):
                stage()
    results: Any = session.profiler
    raw = sorted(results.kineto_results.events(), key=lambda event: event.start_ns())
    spans = {
        event.name().removeprefix(STAGE): (
            event.start_ns(), event.start_ns() + event.duration_ns()
        )
        for event in raw
        if event.name().startswith(STAGE)
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
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY_LEFT)
    )


NO_MEMORY_LEFT = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",  # CUDA outside of the caching allocator: the context, a graph
    "ALLOC_FAILED",  # cuDNN and cuBLAS
    "unable to find an engine",  # cuDNN, when no algorithm's workspace fits
)
"""What errors say that have no class of their own."""


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
        f"{parameter('max_batch')} on {device}",
        "the system does not report how much memory is free",
        "use CUDA",
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


def growth(device: torch.device) -> Callable[[], int]:
    """What tells the peak of this process's memory above what it has now, in bytes."""
    if device.type == "cuda":
        return lambda: torch.cuda.max_memory_reserved(device)
    before = _resident_bytes("VmRSS")
    return lambda: _resident_bytes("VmHWM") - before


def _resident_bytes(field: Literal["VmRSS", "VmHWM"]) -> int:
    """Memory of this process on the host, now or at its peak."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not report {field}")


def largest_batch(
    peak_at: Callable[[int], int | None],
    trial: Callable[[int], int | None],
    bound: int,
) -> tuple[int, int]:
    """The largest batch that runs, by two predictions and a confirmation.

    Peak memory is a straight line in the batch size for nearly every network: the peaks of two
    small batches give a first prediction, a trial on the way to it corrects the slope by what
    allocators and libraries take besides, and a second trial must confirm the result.

    Args:
        peak_at: bytes of tensors at the peak of a step, `None` where it runs out of memory.
        trial: bytes that a process of its own takes for steps, `None` where it runs out of memory.
        bound: bytes that a step may take.

    Returns:
        The batch and its measured peak in bytes; zeros when even one sample does not fit.
    """
    low, high = 2, 4
    peaks = {low: peak_at(low)}
    peaks[high] = None if peaks[low] is None else peak_at(high)
    if peaks[high] is None:
        guess = (low if peaks[low] is None else high) - 1
    else:
        guess = _predicted(peaks, low, high, bound)
    if guess > 8 * high:
        near, too_large = guess // 4, math.inf
        while near > high:
            peaks[near] = trial(near)
            if peaks[near] is not None:
                break
            near, too_large = near // 2, near
        guess = _predicted(peaks, high, near, bound) if near > high else high
        guess = int(min(guess, too_large - 1))
    while guess >= 1:
        peak = trial(guess)
        if peak is not None and peak <= bound:
            return guess, peak
        guess = min(guess - 1, int(guess * 0.9))
    return 0, 0


def _predicted(peaks: Mapping[int, int | None], low: int, high: int, bound: int) -> int:
    """The batch at which the line through two known peaks meets the bound."""
    below, above = peaks[low] or 0, peaks[high] or 0
    slope = (above - below) / (high - low)
    return high if slope <= 0 else int(low + (bound - below) / slope)
