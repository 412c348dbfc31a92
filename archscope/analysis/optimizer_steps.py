"""A step of one of PyTorch's optimisers on meta: what it keeps, and what it holds meanwhile."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from archscope.errors import ArchscopeError
from archscope.parameters import parameter

CLASSES = {
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
    "adafactor": "Adafactor",
    "adamax": "Adamax",
    "asgd": "ASGD",
    "muon": "Muon",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "rprop": "Rprop",
}
"""Classes of `torch.optim` without a fused kernel on a GPU."""

ONE_BY_ONE = ("adafactor", "muon")
"""Those that PyTorch updates one tensor after another unless asked otherwise, to spare memory."""


@dataclass(frozen=True)
class OptimizerStep:
    """What one update needs.

    Args:
        state: bytes of each tensor that is kept from step to step beside its parameter; counters
            are on the CPU.
        held: most bytes that the update makes and drops.
    """

    state: tuple[int, ...]
    held: int


@functools.lru_cache(maxsize=8)
def optimizer_step(
    name: str, foreach: bool, weights: tuple[tuple[tuple[int, ...], torch.dtype], ...]
) -> OptimizerStep:
    """Run the second step of an optimiser with its default settings.

    Args:
        name: one of `CLASSES`.
        foreach: all tensors at a time, or one after another.
        weights: shape and dtype of each.

    Raises:
        ArchscopeError: Muon is to update what is no matrix.
    """
    if name == "muon" and (others := [shape for shape, _ in weights if len(shape) != 2]):
        raise ArchscopeError(
            parameter("optimizer", name),
            f"updates matrices alone, and {len(others)} of {len(weights)} trainable parameters "
            f"have other shapes, such as {'×'.join(map(str, others[0]))}",
            f"choose matrices with {parameter('train_only')}, or take adamw",
        )
    twins = [nn.Parameter(torch.empty(shape, dtype=d, device="meta")) for shape, d in weights]
    gradients = [torch.empty_like(twin) for twin in twins]
    for twin, gradient in zip(twins, gradients, strict=True):
        twin.grad = gradient
    form = {} if name in ONE_BY_ONE else {"foreach": foreach}
    optimizer = getattr(torch.optim, CLASSES[name])(twins, **form)
    with _Held(()):
        optimizer.step()
    own = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor) and value.is_meta
    ]
    with _Held([*twins, *gradients, *own]) as held:
        optimizer.step()
    return OptimizerStep(tuple(tensor.nbytes for tensor in own), held.most)


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operators make; those of the tensors given count for nothing.

    A number that is read, such as a norm by which a step is scaled, is 1: no step branches on it.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.alive = 0
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return 1.0
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._follow(tensor)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self.known:
            return
        self.known.add(storage._cdata)
        self.alive += storage.nbytes()
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size
