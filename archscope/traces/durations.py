"""How long the forward and the backward pass of each step take, waiting included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archscope.traces.join import Credit

BACKWARD = ("backward", "accumulation", "recompute")
"""Phases that are parts of the backward pass."""


@dataclass(slots=True)
class _Step:
    """Nanoseconds at which the passes of one step begin and end."""

    forward: list[int]
    backward: list[int]
    end: int = 0


def of_passes(credits: Iterable[Credit], steps: Sequence[int]) -> dict[str, list[int]]:
    """Nanoseconds of `forward` and `backward` by step; nothing where passes alternate in a step.

    The forward pass goes from the network's first kernel to the first of the backward pass, loss
    included, and the backward pass to the end of its last one.

    Args:
        credits: of a trace.
        steps: numbers of those that count.
    """
    found: dict[int, _Step] = defaultdict(lambda: _Step([], []))
    for credit in credits:
        step = found[credit.step]
        if credit.phase in BACKWARD:
            step.backward.append(credit.start)
            length = 0 if credit.source is None else credit.source.end - credit.source.start
            step.end = max(step.end, credit.start + length)
        elif credit.phase == "forward" and credit.call is not None and credit.call.in_network:
            step.forward.append(credit.start)
    chosen = [found[step] for step in steps]
    if not all(s.forward and s.backward and max(s.forward) < min(s.backward) for s in chosen):
        return {}
    return {
        "forward": [min(step.backward) - min(step.forward) for step in chosen],
        "backward": [step.end - min(step.backward) for step in chosen],
    }
