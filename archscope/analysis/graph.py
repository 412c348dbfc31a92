"""Execution → which modules hand their tensors to which.

A tensor is known by its memory, so that views and results in place need no rule of their own: who
reads memory gets what was last written there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from archscope.records import Execution, Operand, OperatorRun

INPUT = -1
"""Stands for the network's input among the steps."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """Operators of one module call that run one after the other.

    A leaf has one step for each of its calls; a container has one between any two of its children
    where it computes itself.

    Args:
        layer: place of the call in `Execution.layers`.
        operators: names in order.
        macs: multiply-accumulates.
        reads: places of the steps whose results it reads, `INPUT` for the network's input.
        shape: of its last result.
    """

    layer: int
    operators: tuple[str, ...]
    macs: int
    reads: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass
class _Growing:
    layer: int
    operators: list[str] = field(default_factory=list)
    macs: int = 0
    reads: dict[int, None] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


def flow(execution: Execution) -> tuple[FlowStep, ...]:
    """The steps of the forward pass, in order."""
    steps: list[_Growing] = []
    written: dict[int, int] = {}
    for run in execution.runs:
        if run.phase != "forward":
            break
        if not steps or steps[-1].layer != run.layer:
            steps.append(_Growing(run.layer))
        _add(steps, run, written)
    return tuple(
        FlowStep(step.layer, tuple(step.operators), step.macs, tuple(step.reads), step.shape)
        for step in steps
    )


def _add(steps: list[_Growing], run: OperatorRun, written: dict[int, int]) -> None:
    here, step = len(steps) - 1, steps[-1]
    step.operators.append(run.name)
    step.macs += run.macs
    for source in _sources(run.inputs, written):
        if source != here:
            step.reads.setdefault(source)
    for operand in run.outputs:
        written[operand.storage] = here
    if run.outputs:
        step.shape = run.outputs[0].shape


def _sources(operands: Iterable[Operand], written: dict[int, int]) -> Iterable[int]:
    for operand in operands:
        if operand.storage in written:
            yield written[operand.storage]
        elif operand.role == "input":
            yield INPUT
