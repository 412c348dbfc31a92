"""A step of `fully_shard`: each block's parameters gathered before use, gradients scattered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp._fully_shard import _fsdp_param
from torch.distributed.fsdp._fully_shard._fsdp_collectives import (
    DefaultAllGather,
    DefaultReduceScatter,
)
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis.borrow import members
from archscope.collectives.fake import DEVICE, RealIntegers
from archscope.collectives.recorder import Cause, Recorder
from archscope.process import patched_here


def meshes(replicas: int | None, sharing: int, divided: int) -> tuple[DeviceMesh, DeviceMesh]:
    """The groups of this GPU: those that have samples of their own, and those of one layer.

    PyTorch reads the values of a mesh, so that it is made outside of the fake tensors.

    Args:
        replicas: groups that each hold all parameters; without them the first mesh has one side.
        sharing: GPUs of each of these groups.
        divided: neighbours that divide each layer.
    """
    own = ("replicate", "shard") if replicas else ("shard",)
    sizes = (replicas, sharing) if replicas else (sharing,)
    with _disable_current_modes():
        every = init_device_mesh(DEVICE, (*sizes, divided), mesh_dim_names=(*own, "tp"))
        return every[own], every["tp"]


@dataclass(frozen=True)
class Sharding:
    """How `fully_shard` is called.

    Args:
        mesh: of one side, the group that shares the parameters; of two, the replicas and that.
        blocks: names of the modules that are sharded each by itself.
        reshard_after_forward: whether blocks drop gathered parameters until the backward pass
            (ZeRO stage 3); else they stay (as in stage 2).
        policy: in which dtypes it gathers and reduces.
    """

    mesh: DeviceMesh
    blocks: Sequence[str]
    reshard_after_forward: bool
    policy: MixedPrecisionPolicy

    def apply(self, network: nn.Module, recorder: Recorder) -> None:
        """Shard each block by itself and the network around them.

        Args:
            network: of fake tensors, which changes.
            recorder: learns whose parameters and gradients the collectives carry.

        Raises:
            Exception: whatever PyTorch raises.
        """
        modules = members(network)
        keep = None if self.reshard_after_forward else False  # None: PyTorch's, all but the root
        names = (*self.blocks, "")
        sizes = {name: len(own_parameters(modules, name, self.blocks)) for name in names}
        divided = any(isinstance(parameter, DTensor) for parameter in network.parameters())
        # PyTorch joins the meshes of divided parameters by their values; else the mode takes time.
        integers = RealIntegers() if divided else nullcontext()  # type: ignore[no-untyped-call]
        with integers, patched_here([(_fsdp_param, "_chunk_with_empty", Chunks)]):
            for name, tensors in sizes.items():
                sharded = fully_shard(
                    modules[name], mesh=self.mesh, reshard_after_forward=keep, mp_policy=self.policy
                )
                _record(sharded, recorder, Cause(name, "parameters", tensors), self.mesh.ndim > 1)


@dataclass(frozen=True)
class Chunks:
    """The shards of a tensor, as `torch.chunk` makes them, each when it is asked for.

    PyTorch makes those of all GPUs and uses two, which takes most of the time among 512.
    """

    tensor: Tensor
    count: int
    dim: int

    def __getitem__(self, index: int) -> Tensor:
        length = self.tensor.size(self.dim)
        size = -(-length // self.count)
        start = index * size
        if start >= length and index:
            return self.tensor.new_empty(0)
        return self.tensor.narrow(self.dim, start, min(size, length - start))


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


def _record(module: FSDPModule, recorder: Recorder, gathers: Cause, replicated: bool) -> None:
    """Tell the recorder whose parameters and gradients a module's collectives carry."""
    gradients = gathers._replace(content="gradients")

    class AllGather(DefaultAllGather):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with recorder.because(gathers):
                return super().__call__(*args, **kwargs)

    class ReduceScatter(DefaultReduceScatter):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if replicated:  # PyTorch all-reduces next what this leaves
                recorder.shard = gradients
            with recorder.because(gradients):
                return super().__call__(*args, **kwargs)

    module.set_custom_all_gather(AllGather())
    module.set_custom_reduce_scatter(ReduceScatter())
