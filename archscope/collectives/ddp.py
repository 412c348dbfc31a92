"""A step of `DistributedDataParallel`: gradients all-reduced in buckets, buffers broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parallel import DistributedDataParallel

from archscope.analysis.calls import Arguments
from archscope.collectives.fake import RealIntegers
from archscope.collectives.recorder import Cause, Recorder
from archscope.records import Collective

UNUSED = (
    "Some parameters get no gradient, so it ran with find_unused_parameters=True, which also "
    "all-reduces a bitmap of those that are used."
)


def step(
    network: nn.Module,
    arguments: Arguments,
    loss: Callable[[Any], Tensor],
    find_unused_parameters: bool = False,
) -> tuple[Collective, ...]:
    """The collectives of the start and of one step, in the order of issue.

    The step is the second one: PyTorch fills its buckets again after the first, in the order in
    which gradients became ready.

    Args:
        network: of fake tensors, which the run changes.
        arguments: of its call.
        loss: makes a scalar of what the network returns.
        find_unused_parameters: as for `DistributedDataParallel`.

    Raises:
        UnusedParametersError: some get no gradient, and that was not asked for.
        Exception: whatever PyTorch or the network raises.
    """
    try:
        return _step(network, arguments, loss, find_unused_parameters)
    except RuntimeError as error:
        if find_unused_parameters or "find_unused_parameters" not in str(error):
            raise
        raise UnusedParametersError from error


class UnusedParametersError(Exception):
    """Parameters that the loss does not need, which PyTorch wants to be warned of."""


def _step(
    network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor], unused: bool
) -> tuple[Collective, ...]:
    recorder = Recorder(_of_the_wrapper)
    args, kwargs = arguments
    with RealIntegers(), recorder:  # type: ignore[no-untyped-call]
        parallel = DistributedDataParallel(network, find_unused_parameters=unused)
        buckets = _Buckets(network, recorder)
        parallel.register_comm_hook(None, lambda state, bucket: buckets.reduced(bucket))
        recorder.phase = None
        loss(parallel(*args, **kwargs)).backward()  # type: ignore[no-untyped-call]
        recorder.phase = "start"
        parallel.reducer._rebuild_buckets()
        recorder.phase = "forward"
        value = loss(parallel(*args, **kwargs))
        recorder.phase = "backward"
        value.backward()  # type: ignore[no-untyped-call]
    return tuple(recorder.issued)


def _of_the_wrapper(recorder: Recorder, tensors: list[Tensor]) -> Cause:
    """What `DistributedDataParallel` passes on beside its buckets."""
    if not isinstance(tensors[0], FakeTensor):
        return Cause("", "agreement")
    return Cause("", "buffers" if recorder.phase == "forward" else "parameters and buffers")


class _Buckets:
    """All-reduces each bucket as PyTorch's own hook does, and knows whose gradients it holds.

    PyTorch's default waits for a result that the fake group does not give.
    """

    def __init__(self, network: nn.Module, recorder: Recorder) -> None:
        self.recorder = recorder
        self.layers = {
            id(parameter): name.rpartition(".")[0] for name, parameter in network.named_parameters()
        }

    def reduced(self, bucket: Any) -> torch.futures.Future[Tensor]:
        held = [self.layers[id(parameter)] for parameter in bucket.parameters()]
        gradients = bucket.buffer()
        with self.recorder.because(Cause(held[-1], "gradients", len(held), held[0])):
            dist.all_reduce(gradients)
        done: torch.futures.Future[Tensor] = torch.futures.Future()
        done.set_result(gradients)
        return done
