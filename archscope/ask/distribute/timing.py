"""How long a step takes: a GPU's own work as `predict` has it, and the collectives beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Collective, StepTime

if TYPE_CHECKING:
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.collectives.links import Links
    from archscope.latency.devices import Device

AUTOCAST = {"float32": "amp"}
"""What a network of this dtype is predicted to run in, where that is not its dtype."""


def step_time(
    part: Subject, call: NetworkCall, plan: ParallelPlan, issued: Sequence[Collective]
) -> StepTime | None:
    """Predict the time of a step on `plan.on`; `None` where no GPU is named.

    Args:
        part: the network as one GPU has it.
        call: what it is called with.
        plan: names the GPU, and how many divide a layer.
        issued: the collectives of a step.

    Raises:
        ArchscopeError: the GPU is unknown, its links were not measured, or a collective was not.
    """
    if plan.on is None:
        return None
    from archscope.ask.network.call import floating_dtype
    from archscope.ask.predict import executed, predicted, rates_of
    from archscope.latency.setting import Setting

    device, links = connected(plan.on)
    dtype = str(floating_dtype(part.module)).removeprefix("torch.")
    rates = rates_of(device, Setting("training", plan.dtype or AUTOCAST.get(dtype, dtype)))
    own = predicted(executed(part, call, rates.setting, rates.fused_attention), rates)
    step = [row for row in issued if row.phase != "start"]
    for row in step:
        if row.kind not in (*links.lines, "broadcast"):
            raise ArchscopeError(
                parameter("on", plan.on), f"no {row.kind} was measured on it", "leave it out"
            )
    places = [_on_a_node(row, plan, links) for row in step]
    return StepTime(
        device=device.name,
        dtype=rates.setting.dtype,
        communication=sum(
            links.seconds(row, place) for row, place in zip(step, places, strict=True)
        ),
        compute=own.seconds,
        compute_low=own.low,
        compute_high=own.high,
        median_error=links.median_error,
        most_error=links.most_error,
        across_nodes=any(place < row.group for row, place in zip(step, places, strict=True)),
        source=f"{links.source}, on {links.name},",
        fitted_on=own.fitted_on,
    )


def connected(name: str) -> tuple[Device, Links]:
    """The data sheet of a GPU, and its links.

    Raises:
        ArchscopeError: it is unknown, or its links were not measured.
    """
    from archscope.collectives.links import systems
    from archscope.latency.devices import find_device

    device = find_device(name, "on")
    links = systems().get(device.key)
    if links is None:
        raise ArchscopeError(
            parameter("on", name),
            "no collectives were measured on it",
            f"use one of {', '.join(systems())}",
        )
    return device, links


def _on_a_node(row: Collective, plan: ParallelPlan, links: Links) -> int:
    """GPUs of a collective's group on each node.

    Those that divide a layer are neighbours, then come those that share the parameters of one
    replica.
    """
    layers = any(word in row.content for word in ("activations", "normalisation"))
    apart = 1 if layers else plan.divided
    if plan.replicas is not None and (row.kind, row.content) == ("all_reduce", "gradients"):
        apart *= plan.sharing
    return min(row.group, max(1, links.gpus_per_node // apart))
