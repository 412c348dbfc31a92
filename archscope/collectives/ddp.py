"""A step of `DistributedDataParallel`: gradients all-reduced in buckets, buffers broadcast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.device_mesh import DeviceMesh
from torch.nn.parallel import DistributedDataParallel

from archscope.analysis.calls import Arguments
from archscope.collectives.fake import RealIntegers
from archscope.collectives.recorder import Cause, Recorder
from archscope.records import Collective


@dataclass(frozen=True)
class Replicas:
    """How `DistributedDataParallel` is called.

    Args:
        mesh: of the GPUs that each have samples of their own; all of the job when `None`.
        find_unused_parameters: as for `DistributedDataParallel`.
    """

    mesh: DeviceMesh | None = None
    find_unused_parameters: bool = False

    def step(
        self,
        network: nn.Module,
        arguments: Arguments,
        loss: Callable[[Any], Tensor],
        recorder: Recorder,
        watching: AbstractContextManager[None],
    ) -> tuple[Collective, ...]:
        """The collectives of the start and of one step, in the order of issue.

        The step is the second one: PyTorch fills its buckets again after the first, in the order in
        which gradients became ready.

        Args:
            network: of fake tensors, which the run changes.
            arguments: of its call.
            loss: makes a scalar of what the network returns.
            recorder: takes them down.
            watching: is entered for the second step.

        Raises:
            UnusedParametersError: some get no gradient, and that was not asked for.
            Exception: whatever PyTorch or the network raises.
        """
        try:
            return self._step(network, arguments, loss, recorder, watching)
        except RuntimeError as error:
            if self.find_unused_parameters or "find_unused_parameters" not in str(error):
                raise
            raise UnusedParametersError from error

    def _step(
        self,
        network: nn.Module,
        arguments: Arguments,
        loss: Callable[[Any], Tensor],
        recorder: Recorder,
        watching: AbstractContextManager[None],
    ) -> tuple[Collective, ...]:
        args, kwargs = arguments
        with RealIntegers(), recorder:  # type: ignore[no-untyped-call]
            parallel = DistributedDataParallel(
                network, device_mesh=self.mesh, find_unused_parameters=self.find_unused_parameters
            )
            group = None if self.mesh is None else self.mesh.get_group()
            buckets = _Buckets(network, recorder, group)
            parallel.register_comm_hook(None, lambda state, bucket: buckets.reduced(bucket))
            recorder.phase = None
            loss(parallel(*args, **kwargs)).backward()  # type: ignore[no-untyped-call]
            recorder.phase = "start"
            parallel.reducer._rebuild_buckets()
            recorder.phase = "forward"
            with watching:
                value = loss(parallel(*args, **kwargs))
                recorder.phase = "backward"
                value.backward()  # type: ignore[no-untyped-call]
        return tuple(recorder.issued)


class UnusedParametersError(Exception):
    """Parameters that the loss does not need, which PyTorch wants to be warned of."""


def of_the_wrapper(recorder: Recorder, tensors: list[Tensor]) -> Cause:
    """What `DistributedDataParallel` passes on beside its buckets."""
    if not isinstance(tensors[0], FakeTensor):
        return Cause("", "agreement")
    return Cause("", "buffers" if recorder.phase == "forward" else "parameters and buffers")


class _Buckets:
    """All-reduces each bucket as PyTorch's own hook does, and knows whose gradients it holds.

    PyTorch's default waits for a result that the fake group does not give.
    """

    def __init__(
        self, network: nn.Module, recorder: Recorder, group: dist.ProcessGroup | None
    ) -> None:
        self.recorder = recorder
        self.group = group
        self.layers = {
            id(parameter): name.rpartition(".")[0] for name, parameter in network.named_parameters()
        }

    def reduced(self, bucket: Any) -> torch.futures.Future[Tensor]:
        held = [self.layers[id(parameter)] for parameter in bucket.parameters()]
        gradients = bucket.buffer()
        with self.recorder.because(Cause(held[-1], "gradients", len(held), held[0])):
            dist.all_reduce(gradients, group=self.group)
        done: torch.futures.Future[Tensor] = torch.futures.Future()
        done.set_result(gradients)
        return done
