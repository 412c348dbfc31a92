"""What each GPU holds of a step under ZeRO and tensor parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archscope.records import HeldMemory, LiveBytes

if TYPE_CHECKING:
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject

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
    from archscope.ask.memory.sharding import blocks, shared_out
    from archscope.ask.network.call import floating_dtype

    dtype = str(floating_dtype(subject.module)).removeprefix("torch.")
    if dtype not in WEIGHTS:
        return ()
    setting = Setting(optimizer=plan.optimizer, dtype=dtype)
    alone = predicted(subject, call, setting).timeline
    divided = alone if part is subject else predicted(part, call, setting).timeline
    rows = []
    if plan.divided > 1:
        rows = [_largest("one GPU alone", 1, alone)]
        rows.append(_largest("divided layers", plan.divided, divided))
    if plan.sharded > 1:
        gathered = blocks(part.module)
        for stage, name in enumerate(STAGES):
            if stage or plan.divided == 1:
                shared = (
                    shared_out(divided, stage, plan.sharded, gathered, setting.manner)
                    if stage
                    else divided
                )
                rows.append(_largest(name, plan.gpus, shared))
    return tuple(rows)


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
