"""A trace → a flame graph by module, in the format of speedscope.

The format: https://www.speedscope.app/file-format-schema.json, its profiles of type `sampled`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archscope.traces import steps as steps_of
from archscope.traces.attribution import Attribution
from archscope.traces.join import Credit
from archscope.traces.rows import DEVICE_GAP, HOST_GAP, UNATTRIBUTED
from archscope.traces.stretches import by_step

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def flame_graph(found: Attribution, model: str) -> dict[str, Any]:
    """Every step of a trace as one profile, whose weights add up to the step in nanoseconds.

    Below the network are its modules as they contain one another, then the phase, the operator and
    the kernel; idle time and what is no layer's have frames of their own.

    Args:
        found: a trace with its owners.
        model: name of the network.
    """
    stacks = _on_device(found, model) if found.trace.device else _on_host(found, model)
    frames: dict[str, int] = {}
    profiles = []
    for step, weighted in stacks:
        weights = [weight for _, weight in weighted]
        profiles.append({
            "type": "sampled",
            "name": f"step {step}",
            "unit": "nanoseconds",
            "startValue": 0,
            "endValue": sum(weights),
            "samples": [
                [frames.setdefault(name, len(frames)) for name in stack] for stack, _ in weighted
            ],
            "weights": weights,
        })  # fmt: skip
    return {
        "$schema": SCHEMA,
        "name": model,
        "exporter": "archscope",
        "activeProfileIndex": max(0, len(profiles) - 1),  # a first step may be a warm-up
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles,
    }


Stacks = Iterator[tuple[int, list[tuple[tuple[str, ...], int]]]]
"""Of each step: frames from the outermost, and nanoseconds."""


def _on_device(found: Attribution, model: str) -> Stacks:
    windows = steps_of.windows(found.trace, found.steps)
    for step, stretches in by_step(found.credits, windows).items():
        yield (
            step,
            [
                ((DEVICE_GAP,), stretch.nanoseconds)
                if stretch.is_idle or stretch.credit is None
                else (stack(stretch.credit, model), stretch.nanoseconds)
                for stretch in stretches
            ],
        )


def _on_host(found: Attribution, model: str) -> Stacks:
    for step in found.steps.steps:
        credits = [credit for credit in found.credits if credit.step == step.number]
        busy = [
            (stack(credit, model), credit.nanoseconds)
            for credit in credits
            if credit.operator and credit.nanoseconds > 0
        ]
        rest = step.end - step.start - sum(weight for _, weight in busy)
        yield step.number, [*busy, ((HOST_GAP,), rest)] if rest > 0 else busy


def stack(credit: Credit, model: str) -> tuple[str, ...]:
    """What is around a kernel, outermost first: `resnet50`, `layer1`, `layer1.0`, `forward`, …"""
    inner = [credit.phase or "other"]
    if credit.launched_by is not None:
        inner.append(credit.launched_by.name)
    if credit.source is not None and credit.source is not credit.launched_by:
        inner.append(credit.source.name)
    if credit.call is None:
        return (UNATTRIBUTED, *inner)
    if not credit.call.in_network:
        return (credit.call.name, *inner)
    return (model, *paths(credit.call.name), *inner)


def paths(name: str) -> Sequence[str]:
    """A module and those that contain it, outermost first: `layer1`, `layer1.0` of `layer1.0`."""
    parts = name.split(".") if name else []
    return [".".join(parts[: index + 1]) for index in range(len(parts))]
