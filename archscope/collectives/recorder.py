"""Every collective that PyTorch issues in this process, with its kind, bytes and group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archscope.analysis.calls import Arguments
from archscope.records import Collective, CollectivePhase

groups: Any = torch.distributed.distributed_c10d
"""Where a group is found by its name; PyTorch's stubs leave the function out."""

NAMESPACES = ("c10d", "_c10d_functional", "_c10d_functional_autograd")
"""Where PyTorch's collectives are defined: as methods of a group, and as functions."""

KINDS = {
    "all_gather_into_tensor": "all_gather",
    "all_gather_into_tensor_out": "all_gather",
    "all_reduce": "all_reduce",
    "all_reduce_": "all_reduce",
    "all_to_all_single": "all_to_all",
    "allgather_": "all_gather",
    "_allgather_base_": "all_gather",
    "allreduce_": "all_reduce",
    "alltoall_base_": "all_to_all",
    "broadcast": "broadcast",
    "broadcast_": "broadcast",
    "reduce_scatter_": "reduce_scatter",
    "_reduce_scatter_base_": "reduce_scatter",
    "reduce_scatter_tensor": "reduce_scatter",
    "scatter_": "scatter",
}
"""The collective that each operator is."""

LISTS = {"allgather_": 0, "scatter_": 1}
"""Which argument of a collective is a list of one tensor a rank."""

WAITING = ("wait_tensor",)

REPLICAS = "allreduce_"
"""How `fully_shard` reduces among replicas; divided layers do by a function."""


class Cause(NamedTuple):
    """Why a collective is issued.

    Args:
        layer: dotted path of the module that it serves; the last one of several.
        content: what it carries: `parameters`, `gradients`, `activations`, `buffers`, `agreement`.
        tensors: parameters or buffers that it carries at once.
        first: dotted path of the first module where it serves several.
    """

    layer: str
    content: str
    tensors: int = 1
    first: str = ""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down collectives; every operator is answered by the modes below.

    Args:
        cause: says why a collective is issued that passes these tensors on.

    Nothing is taken down while `phase` is `None`.
    """

    def __init__(self, cause: Callable[[Recorder, list[Tensor]], Cause]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.issued: list[Collective] = []
        self.phase: CollectivePhase | None = "start"
        self._cause = cause
        self.shard: Cause | None = None
        """What was reduced to a shard last, which replicas all-reduce next."""
        self._named: Cause | None = None

    @contextmanager
    def because(self, cause: Cause) -> Iterator[None]:
        """Give all collectives inside one cause."""
        outer, self._named = self._named, cause
        try:
            yield
        finally:
            self._named = outer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # a divided tensor issues its own, which come here again
        result = func(*args, **(kwargs or {}))
        if func.namespace in NAMESPACES:
            self._take_down(func._schema.name.partition("::")[2], args, result)
        return result

    def _take_down(self, name: str, args: Any, result: Any) -> None:
        if name in WAITING or self.phase is None:
            return
        tensors = [x for x in tree_leaves((args, result)) if isinstance(x, Tensor)]
        kind = KINDS.get(name, name)
        cause = self._named or (self.shard if name == REPLICAS else None)
        cause = cause or self._cause(self, tensors)
        size = max((tensor.nbytes for tensor in tensors), default=0)
        if name in LISTS:
            size = sum(tensor.nbytes for tensor in tree_leaves(args[LISTS[name]]))
        self.issued.append(
            Collective(
                kind=kind,
                phase=self.phase,
                layer=cause.layer,
                content=cause.content,
                size_bytes=size,
                group=_group_size(args),
                dtype=str(tensors[0].dtype).removeprefix("torch.") if tensors else "",
                tensors=cause.tensors,
                first=cause.first,
            )
        )


def record_step(
    recorder: Recorder, network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor]
) -> tuple[Collective, ...]:
    """Run one forward and backward pass; returns all that was taken down, the start included.

    Raises:
        Exception: whatever PyTorch or the network raises.
    """
    args, kwargs = arguments
    with recorder:
        recorder.phase = "forward"
        value = loss(network(*args, **kwargs))
        recorder.phase = "backward"
        value.backward()  # type: ignore[no-untyped-call]
    return tuple(recorder.issued)


def _group_size(args: Any) -> int:
    """Ranks of the group among the arguments of a collective: an object, or a name."""
    for value in args:
        if isinstance(value, str):
            try:
                return int(groups._resolve_process_group(value).size())
            except (RuntimeError, ValueError):
                continue  # the name of a reduction, such as `sum`
        if type(value).__name__ == "ScriptObject":
            try:
                return dist.ProcessGroup.unbox(value).size()
            except RuntimeError:
                continue  # a reduction
    return dist.get_world_size()
