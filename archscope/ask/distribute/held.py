"""What each GPU holds of a step under ZeRO and tensor parallelism."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from archscope.records import HeldMemory, LiveBytes, MemoryPrediction

if TYPE_CHECKING:
    from torch import nn

    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.ask.memory.setting import Setting
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

STAGES = ("ZeRO stage 0", "ZeRO stage 1", "ZeRO stage 2", "ZeRO stage 3")
"""Shared out: nothing, the optimiser's state, gradients too, parameters too."""


def held_memory(
    subject: Subject, part: Subject, call: NetworkCall, plan: ParallelPlan
) -> tuple[HeldMemory, ...]:
    """Predict the memory of a GPU: alone, and under each way to share out what it holds.

    Args:
        subject: the network.
        part: what one GPU has of it where layers are divided; the network itself where not.
        call: what both are called with.
        plan: how many GPUs share.

    Returns:
        nothing for weights of another dtype than memory is predicted for.

    Raises:
        ArchscopeError: the network cannot be followed.
    """
    from archscope.ask.memory.prediction import predicted
    from archscope.ask.memory.setting import WEIGHTS, Setting
    from archscope.ask.network.call import floating_dtype

    dtype = str(floating_dtype(subject.module)).removeprefix("torch.")
    if dtype not in WEIGHTS:
        return ()

    def followed(network: Subject) -> tuple[LiveBytes, ...]:
        setting = Setting(optimizer=plan.optimizer, dtype=dtype)
        if plan.dtype is None or DTYPE_BYTES[plan.dtype] >= DTYPE_BYTES[dtype]:
            return predicted(network, call, setting).timeline
        half = predicted(network, call, replace(setting, dtype=plan.dtype))
        return _computed_in(half, DTYPE_BYTES[dtype] // DTYPE_BYTES[plan.dtype])

    alone = followed(subject)
    divided = alone if part is subject else followed(part)
    rows = []
    if plan.divided > 1:
        rows = [_largest("one GPU alone", 1, alone)]
        rows.append(_largest("divided layers", plan.divided, divided))
    if plan.sharing > 1:
        rows += _stages(divided, part, plan, Setting(dtype=dtype))
    return tuple(rows)


def _stages(
    timeline: tuple[LiveBytes, ...], part: Subject, plan: ParallelPlan, setting: Setting
) -> list[HeldMemory]:
    """One row a stage of ZeRO; where layers are divided, stage 0 is a row already."""
    from archscope.ask.memory.sharding import blocks, shared_out

    gathered = blocks(part.module)
    if plan.dtype is not None:
        size = DTYPE_BYTES[plan.dtype], DTYPE_BYTES[setting.dtype]
        gathered = {name: held * size[0] // size[1] for name, held in gathered.items()}
    rows = []
    for stage, name in enumerate(STAGES):
        if stage == 0 and plan.divided > 1:
            continue
        padded = _padded(part, plan.sharing) if stage == len(STAGES) - 1 else Fraction(1)
        held = timeline
        if stage:
            held = shared_out(timeline, stage, plan.sharing, gathered, setting.manner, padded)
        rows.append(_largest(name, plan.sharing * plan.divided, held))
    return rows


def _padded(part: Subject, gpus: int) -> Fraction:
    """How many times as large parameters are whose rows `fully_shard` fills up for the GPUs."""
    parameters = list(part.module.parameters())
    filled = sum(_rows(p, gpus) * (p.nbytes // max(1, p.shape[0])) for p in parameters if p.ndim)
    return Fraction(filled, sum(p.nbytes for p in parameters if p.ndim) or 1)


def _rows(parameter: nn.Parameter, gpus: int) -> int:
    """The first side, filled up to a multiple of the GPUs."""
    return -(-parameter.shape[0] // gpus) * gpus


def _computed_in(half: MemoryPrediction, times: int) -> tuple[LiveBytes, ...]:
    """A step that computes in one dtype, and keeps parameters in one that is so many times as wide.

    Gradients and the optimiser's state have the dtype of the parameters.
    """
    return tuple(
        replace(
            moment,
            parameters=times * moment.parameters,
            gradients=times * moment.gradients,
            optimizer=times * moment.optimizer,
        )
        for moment in half.timeline
    )


def _largest(sharing: str, gpus: int, timeline: tuple[LiveBytes, ...]) -> HeldMemory:
    return HeldMemory(
        sharing,
        gpus,
        parameters=max(moment.parameters for moment in timeline),
        gradients=max(moment.gradients for moment in timeline),
        optimizer=max(moment.optimizer for moment in timeline),
        activations=max(moment.activations for moment in timeline),
        peak_bytes=max(moment.total for moment in timeline),
    )
