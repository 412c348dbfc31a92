"""A step of `fully_shard`: each block's parameters gathered before use, gradients scattered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_collectives import (
    DefaultAllGather,
    DefaultReduceScatter,
)
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis.borrow import members
from archscope.collectives.fake import DEVICE, RealIntegers
from archscope.collectives.recorder import Cause, Recorder


def mesh_of(sharded: int, divided: int) -> tuple[DeviceMesh, DeviceMesh]:
    """The groups of this GPU: those with samples of their own, and those that divide its layers.

    PyTorch reads the values of a mesh, so that it is made outside of the fake tensors.
    """
    with _disable_current_modes():
        both = init_device_mesh(DEVICE, (sharded, divided), mesh_dim_names=("dp", "tp"))
        return both["dp"], both["tp"]


def shard(
    network: nn.Module,
    mesh: DeviceMesh,
    blocks: Sequence[str],
    reshard_after_forward: bool,
    recorder: Recorder,
) -> None:
    """Shard each block by itself and the network around them.

    Args:
        network: of fake tensors, which changes.
        mesh: the group that shares the parameters.
        blocks: names of the modules that are sharded each by itself.
        reshard_after_forward: whether blocks drop gathered parameters until the backward pass
            (ZeRO stage 3); else they stay (as in stage 2).
        recorder: learns whose parameters and gradients the collectives carry.

    Raises:
        Exception: whatever PyTorch raises.
    """
    modules = members(network)
    keep = None if reshard_after_forward else False  # None: all but the root, PyTorch's default
    sizes = {name: len(own_parameters(modules, name, blocks)) for name in (*blocks, "")}
    divided = any(isinstance(parameter, DTensor) for parameter in network.parameters())
    # PyTorch joins the meshes of divided parameters by their values; else the mode takes time.
    with RealIntegers() if divided else nullcontext():  # type: ignore[no-untyped-call]
        for name, tensors in sizes.items():
            sharded = fully_shard(modules[name], mesh=mesh, reshard_after_forward=keep)
            _record(sharded, recorder, name, tensors)


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
