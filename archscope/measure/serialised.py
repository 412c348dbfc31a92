"""Layer times by hooks that wait for the device, where there are no kernel records (MPS).

Waiting after every layer forbids overlap, so the rows are an upper bound: they are labelled
`serialised`, and only the forward pass is given by layer.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from typing import Any

from torch import nn

from archscope.measure.clock import synchronizer
from archscope.measure.step import Loss, Step
from archscope.records import LayerTime
from archscope.traces.rows import HOST_GAP, LayerTimes

NOTE = "Layer times are serialised: the device was synchronised after every layer (upper bounds)."


def serialised_layers(step: Step, steps: int = 5) -> LayerTimes:
    """Forward time of each leaf module's calls, and every other stage as one row."""
    synchronize = synchronizer(step.device)
    samples: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    begun: list[float] = []

    def enter(module: nn.Module, args: Any) -> None:
        synchronize()
        begun.append(time.perf_counter())

    def leave(name: str, kind: str) -> Any:
        def hook(*_: object) -> None:
            synchronize()
            seconds = time.perf_counter() - begun.pop()
            samples[name, kind, counts[name], "forward"].append(seconds)
            counts[name] += 1

        return hook

    handles = []
    for name, module in step.modules.items():
        if not any(module.children()):
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave(name, type(module).__name__)))
    try:
        for _ in range(steps):
            counts.clear()
            for phase, stage in step.stages.items():
                synchronize()
                begin = time.perf_counter()
                stage()
                synchronize()
                samples["", "stage", 0, phase].append(time.perf_counter() - begin)
    finally:
        for handle in handles:
            handle.remove()
    return _table({key: statistics.median(values) for key, values in samples.items()}, step)


def _table(medians: dict[tuple[str, str, int, str], float], step: Step) -> LayerTimes:
    stages = {key[3]: seconds for key, seconds in medians.items() if key[1] == "stage"}
    losses = [module for module in step.modules.values() if isinstance(module, Loss)]
    rows = [
        LayerTime(name, kind, call, {phase: seconds}, 1, step.modules[name] not in losses)
        for (name, kind, call, phase), seconds in medians.items()
        if kind != "stage"
    ]
    first = next(iter(step.stages))
    between = max(0.0, stages.pop(first) - sum(row.total_seconds for row in rows))
    rows += [
        LayerTime(f"[{phase}]", "whole stage", 0, {phase: seconds}, in_network=False)
        for phase, seconds in stages.items()
    ]
    rows.append(LayerTime(HOST_GAP, "", 0, {first: between}, in_network=False))
    return LayerTimes(tuple(rows), notes=(NOTE,))
