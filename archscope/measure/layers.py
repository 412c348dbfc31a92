"""One profiler session over a few steps of a network, with a range around every module call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity

from archscope.measure import events
from archscope.measure.clock import synchronizer
from archscope.measure.record import Ranges, open_range
from archscope.measure.step import Loss, Step
from archscope.traces import attribution
from archscope.traces.events import CALL, LOSS, STAGE, STEP
from archscope.traces.rows import LayerTimes


class CallRecorder(Ranges):
    """Hooks that open a profiler range around every call of every module, and of the loss.

    Args:
        modules: by the name that their rows get.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(modules, lambda module: LOSS if isinstance(module, Loss) else CALL)


def profile_layers(step: Step, latency: float | None = None, steps: int = 5) -> LayerTimes:
    """Profile a few steps and credit each operator or kernel to a module call.

    Args:
        step: warmed up.
        latency: seconds of a step without profiler, for the idle time of a device that runs
            beside the host; a host's own table adds up to the profiled step instead.
        steps: how many to profile, after one that is dropped.
    """
    trace = events.read(_session(step, CallRecorder(step.modules), steps))
    if step.device.type == "cuda" and not trace.device:
        note = "No layer times: the profiler recorded no kernels (is CUPTI permitted here?)."
        return LayerTimes(notes=(note,))
    return attribution.attribute(trace).times(latency)


def _session(step: Step, recorder: CallRecorder, steps: int) -> list[Any]:
    """Raw events of one session; its first step is dropped, as CUPTI loses kernels at the start."""
    activities = [ProfilerActivity.CPU]
    if step.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    synchronize = synchronizer(step.device)
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=steps, repeat=1)
    # There is one cycle; without `acc_events` PyTorch 2.11 warns that only the last one is kept.
    profiler = torch.profiler.profile(activities=activities, schedule=schedule, acc_events=True)
    with recorder, profiler as session:
        for index in range(steps + 1):
            with opened(f"{STEP}{index}"):
                run_stages(step)
            synchronize()
            session.step()
    results = session.profiler.kineto_results
    return list(results.events())


def run_stages(step: Step) -> None:
    """Run the stages of a step, each in a range."""
    for phase, stage in step.stages.items():
        with opened(STAGE + phase):
            stage()


@contextmanager
def opened(name: str) -> Iterator[None]:
    """A profiler range."""
    range = open_range(name)
    range.__enter__()
    try:
        yield
    finally:
        range.__exit__(None, None, None)
