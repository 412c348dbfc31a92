"""One step of `DistributedDataParallel`, and what its closed forms promise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from archscope.ask.distribute.found import Found, Lend

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments
    from archscope.ask.distribute.plan import ParallelPlan

UNUSED = (
    "Some parameters get no gradient, so it ran with find_unused_parameters=True, which also "
    "all-reduces a map of those that are used."
)


def replicated(lend: Lend, plan: ParallelPlan) -> Found:
    from archscope.collectives import closed_forms, ddp
    from archscope.collectives.recorder import Recorder

    def run(
        network: nn.Module,
        arguments: Arguments,
        loss: Callable[[Any], Tensor],
        unused: bool = False,
    ) -> Found:
        sizes = replicated_bytes(network)
        recorder = Recorder(ddp.of_the_wrapper)
        replicas = ddp.Replicas(find_unused_parameters=unused)
        issued = replicas.step(network, arguments, loss, recorder, nullcontext())
        forms = closed_forms.of_ddp(issued, *sizes)
        return Found(issued, forms, (UNUSED,) if unused else ())

    try:
        return lend(run)
    except ddp.UnusedParametersError:
        return lend(partial(run, unused=True))


def replicated_bytes(network: nn.Module) -> tuple[int, int]:
    """Bytes of the parameters that are trained and of the buffers; of this GPU's part of each."""
    from archscope.collectives.tensor_parallel import local

    trainable = sum(local(p).nbytes for p in network.parameters() if p.requires_grad)
    return trainable, sum(buffer.nbytes for buffer in network.buffers())
