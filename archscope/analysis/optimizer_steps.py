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

CLASSES = {
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
    "adamax": "Adamax",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "rprop": "Rprop",
}
"""Classes of `torch.optim` whose step asks for no values and has no fused kernel on a GPU."""


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
    """
    twins = [nn.Parameter(torch.empty(shape, dtype=d, device="meta")) for shape, d in weights]
    gradients = [torch.empty_like(twin) for twin in twins]
    for twin, gradient in zip(twins, gradients, strict=True):
        twin.grad = gradient
    optimizer = getattr(torch.optim, CLASSES[name])(twins, foreach=foreach)
    optimizer.step()
    kept = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor) and value.is_meta
    ]
    with _Held([*twins, *gradients, *kept]) as held:
        optimizer.step()
    return OptimizerStep(tuple(tensor.nbytes for tensor in kept), held.most)


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operators make; those of the tensors given count for nothing."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.alive = 0
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
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
