"""What in a step is no layer's: collectives, the optimiser, the loss, copies to and from the host.

Names decide where PyTorch gives some; else the place in the step does: what the forward thread runs
between the network and its backward pass makes the loss, and what it runs after it the update.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Sequence

from archscope.traces.events import (
    COMMUNICATION,
    COPIES,
    CRITERION,
    FOREIGN,
    LOSS,
    MODULE,
    OPTIMIZER,
    OUTSIDE,
    STAGE,
    Call,
    Event,
)
from archscope.traces.nesting import is_node
from archscope.traces.steps import Steps, inside_module, is_loss

COLLECTIVE = re.compile(
    r"nccl|rccl|gloo|c10d::|_c10d_functional::|record_param_comms|distributed.*reducer"
    r"|all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|fsdp::|flatten_dense_tensors"
    r"|RegisterPostBackwardFunction",
    re.IGNORECASE,
)
"""Operators and kernels of torch.distributed, and of the buckets that it fills and empties."""

UPDATE = re.compile(
    r"Optimizer\.|aten::_fused_(sgd|adam|adamw|adagrad)|aten::_amp_(foreach|update_scale)"
)
"""Ranges and operators of the optimiser and of AMP's gradient scaler."""

LOSSES = re.compile(r"aten::\w*(_loss|cross_entropy|ctc_loss|kl_div)(_nd)?$")

ZEROING = re.compile(r"aten::(_foreach_)?zero_$")

COPYING = frozenset({
    "aten::to", "aten::_to_copy", "aten::copy_", "aten::item", "aten::_local_scalar_dense",
    "aten::pin_memory", "aten::_pin_memory", "aten::is_nonzero",
})  # fmt: skip

DATA_PARALLEL = "DistributedDataParallel.forward"


def named(event: Event) -> Call | None:
    """The row of an event whose name says that it is no layer's."""
    name = event.name
    if name.startswith(LOSS):
        return CRITERION
    if name == f"{STAGE}optimizer" or UPDATE.match(name):
        return OPTIMIZER
    may_send = event.kind == "operator" or name.startswith("nccl:")
    if may_send and name != DATA_PARALLEL and COLLECTIVE.search(name):
        return COMMUNICATION
    if name.startswith(MODULE) and is_loss(event) and not inside_module(event.parent):
        return CRITERION
    return None


class Stages:
    """What the forward thread was at: before, in or after the network, in or after backward.

    Args:
        host: nested, with the owners of what runs in the network.
        steps: an update ends with its step.
    """

    def __init__(self, host: Iterable[Event], steps: Steps) -> None:
        self._steps = steps
        marks: list[tuple[int, int, str]] = []
        for event in host:
            if is_node(event) and event.phase != "recompute":
                marks.append((event.start, event.end, "backward"))
            elif event.phase == "forward" and _is_outermost(event):
                marks.append((event.start, event.end, "network"))
        self._marks = _joined(marks)
        self._starts = [start for start, _, _ in self._marks]
        self._knows_network = any(kind == "network" for _, _, kind in self._marks)
        self.trains = any(kind == "backward" for _, _, kind in self._marks)

    def row(self, event: Event) -> Call | None:
        """The row of a forward event without an owner, by its place in the step."""
        index = bisect.bisect_right(self._starts, event.start) - 1
        if index >= 0 and event.start < self._marks[index][1]:
            return None
        before = self._marks[index][2] if index >= 0 else ""
        after = self._marks[index + 1][2] if index + 1 < len(self._marks) else ""
        if ZEROING.match(event.name) and self.trains:
            return OPTIMIZER
        if (before == "network" and after == "backward") or LOSSES.match(event.name):
            return CRITERION
        if after == "network" and inside(event, DATA_PARALLEL):
            return COMMUNICATION
        if event.name in COPYING:
            return COPIES
        if not self._knows_network:
            return OPTIMIZER if before == "backward" else None
        stepped = self._steps.at(event.start) != self._steps.at(self._marks[index][1])
        return OPTIMIZER if before == "backward" and not stepped else OUTSIDE


def _is_outermost(event: Event) -> bool:
    """Whether it is the network's, and what is around it is not."""
    above = None if event.parent is None else event.parent.owner
    return _is_network(event.owner) and not _is_network(above)


def _is_network(owner: Call | None) -> bool:
    return owner is not None and (owner.in_network or owner is FOREIGN)


def inside(event: Event | None, name: str) -> bool:
    """Whether the event or one around it has this name."""
    while event is not None:
        if event.name == name:
            return True
        event = event.parent
    return False


def _joined(marks: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Neighbours of one kind as one stretch of time."""
    joined: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(marks):
        if joined and joined[-1][2] == kind:
            joined[-1] = joined[-1][0], max(joined[-1][1], end), kind
        else:
            joined.append((start, end, kind))
    return joined
