"""A step of `fully_shard`: each block's parameters gathered before use, gradients scattered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_collectives import (
    DefaultAllGather,
    DefaultReduceScatter,
)
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis.borrow import members
from archscope.analysis.calls import Arguments
from archscope.collectives.fake import DEVICE
from archscope.collectives.recorder import Cause, Recorder
from archscope.records import Collective


def step(
    network: nn.Module,
    arguments: Arguments,
    loss: Callable[[Any], Tensor],
    blocks: Sequence[str],
    reshard_after_forward: bool,
) -> tuple[Collective, ...]:
    """The collectives of one step, in the order of issue.

    Args:
        network: of fake tensors, which the run changes.
        arguments: of its call.
        loss: makes a scalar of what the network returns.
        blocks: names of the modules that are sharded each by itself; the network is in the end.
        reshard_after_forward: whether blocks drop gathered parameters until the backward pass
            (ZeRO stage 3); else they stay (as in stage 2).

    Raises:
        Exception: whatever PyTorch or the network raises.
    """
    with _disable_current_modes():
        mesh = init_device_mesh(DEVICE, (dist.get_world_size(),))
    recorder = Recorder(lambda recorder, tensors: Cause("", "parameters"))
    modules = members(network)
    keep = None if reshard_after_forward else False  # None: all but the root, PyTorch's default
    sizes = {name: own_parameters(modules, name, blocks) for name in (*blocks, "")}
    for name, own in sizes.items():
        sharded = fully_shard(modules[name], mesh=mesh, reshard_after_forward=keep)
        _record(sharded, recorder, name, len(own))
    args, kwargs = arguments
    with recorder:
        recorder.phase = "forward"
        value = loss(network(*args, **kwargs))
        recorder.phase = "backward"
        value.backward()  # type: ignore[no-untyped-call]
    return tuple(recorder.issued)


def own_parameters(
    modules: dict[str, nn.Module], name: str, blocks: Sequence[str]
) -> list[nn.Parameter]:
    """The parameters that are gathered with one module: those of no block inside, each once."""
    elsewhere = {
        id(parameter)
        for block in blocks
        if block != name
        for parameter in modules[block].parameters()
    }
    return [p for p in modules[name].parameters() if name or id(p) not in elsewhere]


def _record(module: FSDPModule, recorder: Recorder, name: str, tensors: int) -> None:
    """Tell the recorder whose parameters and gradients a module's collectives carry."""

    class AllGather(DefaultAllGather):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with recorder.because(Cause(name, "parameters", tensors)):
                return super().__call__(*args, **kwargs)

    class ReduceScatter(DefaultReduceScatter):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with recorder.because(Cause(name, "gradients", tensors)):
                return super().__call__(*args, **kwargs)

    module.set_custom_all_gather(AllGather())
    module.set_custom_reduce_scatter(ReduceScatter())
