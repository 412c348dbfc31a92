"""Which kernels a tensor says would run on it while a count runs: those of the user's device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from archscope.analysis.values.known import was_made_on_meta

Keys = torch._C.DispatchKeySet

_own: Callable[[Tensor], Keys] = torch._C._dispatch_keys

_META, _CPU = (_own(torch.empty(0, device=place)).raw_repr() for place in ("meta", "cpu"))


class Run(Protocol):
    """The mode of a run."""

    @property
    def users_device(self) -> torch.device:
        """Where the user's tensors are."""


def of(reader: Callable[[Tensor], Run | None], tensor: Tensor) -> Keys:
    """The keys of a tensor, as `torch._C._dispatch_keys` has them.

    Args:
        reader: the run that a tensor on meta belongs to.
        tensor: any.
    """
    keys = _own(tensor)
    run = reader(tensor)
    if run is None or was_made_on_meta(tensor):
        return keys
    bits = keys.raw_repr() ^ _META ^ _CPU
    return Keys.from_raw_repr(bits ^ _FROM_CPU_TO_CUDA if run.users_device.type == "cuda" else bits)


def _bits(names: tuple[str, ...]) -> int:
    bits = 0
    for name in names:
        bits ^= Keys(getattr(torch._C.DispatchKey, name)).raw_repr()
    return bits


_FROM_CPU_TO_CUDA = _bits(("CPU", "CUDA", "AutocastCPU", "AutocastCUDA"))
