"""A process group of any size in one process, and tensors without storage that it passes on.

PyTorch's `fake` backend answers every collective at once and moves nothing, and its
`FakeTensorMode` answers every operator with shapes alone, so that training code for 512 GPUs runs
unchanged on a laptop.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from archscope.errors import ArchscopeError, NetworkError

DEVICE = "cpu"
"""Device of the fake tensors: a fake CUDA tensor would need PyTorch's CUDA library."""


_ONE_GROUP = threading.RLock()
"""PyTorch has one default process group: threads that ask at once wait for each other."""


@contextmanager
def fake_group(gpus: int) -> Iterator[None]:
    """A default process group of `gpus` ranks that is destroyed afterwards; this process is rank 0.

    Raises:
        ArchscopeError: this process has a process group of its own, which is left alone.
    """
    with _ONE_GROUP, _default_group(gpus):
        yield


@contextmanager
def _default_group(gpus: int) -> Iterator[None]:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise ArchscopeError(
            "torch.distributed",
            "this process has a process group of its own",
            "ask in another process, or after destroy_process_group()",
        )
    hook = sys.excepthook  # PyTorch puts the rank before every traceback, and leaves it there
    _forget_layouts()
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=gpus)
    try:
        yield
    finally:
        dist.destroy_process_group()
        _forget_layouts()
        sys.excepthook = hook


def _forget_layouts() -> None:
    """Empty PyTorch's cache of how operators divide their results.

    It holds meshes, takes another of the same shape for them, and so finds groups that are gone, or
    others that have got their names.
    """
    if "torch.distributed.tensor" in sys.modules:
        from torch.distributed.tensor import debug

        debug._clear_sharding_prop_cache()  # type: ignore[no-untyped-call]


@contextmanager
def fake_tensors() -> Iterator[Callable[[Tensor], Tensor]]:
    """Answer every operator without storage; yields what makes a fake tensor of any other."""
    products: TorchDispatchMode = _GroupedProducts()  # type: ignore[no-untyped-call]
    with _unlogged(), FakeTensorMode(allow_non_fake_inputs=True), products:
        yield _fake


class _GroupedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers the grouped products of experts in float32, which run but have no fake kernel.

    PyTorch's kernel for shapes alone takes bfloat16 and float16 only.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype == torch.float32:
            one, other, *rest = args
            return func(one.bfloat16(), other.bfloat16(), *rest, **(kwargs or {})).float()
        return func(*args, **(kwargs or {}))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep PyTorch from logging the traceback of an operator that fails; the error is enough."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _fake(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        raise NetworkError(
            "has lazy parameters, whose shapes are not known yet", "call it once before"
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise NetworkError("has sparse or quantized tensors, which fake tensors cannot follow")
    twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad)


class RealIntegers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Give storage to the integers by which processes agree, whose values PyTorch reads.

    `DistributedDataParallel` compares parameter shapes and orders its buckets by integer tensors
    that it makes, sends and reads in C++; they are a few hundred bytes.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        found = [
            value
            for value in torch.utils._pytree.tree_leaves((args, given))
            if isinstance(value, Tensor)
        ]
        real = bool(found) and not any(isinstance(tensor, FakeTensor) for tensor in found)
        if real or (not found and given.get("dtype") in (torch.int32, torch.int64)):
            with _disable_current_modes():
                return func(*args, **given)
        return func(*args, **given)


def needs_values(error: BaseException) -> bool:
    """Whether a run failed only because fake tensors hold no values."""
    from torch._subclasses.fake_tensor import (
        DataDependentOutputException,
        DynamicOutputShapeException,
        UnsupportedOperatorException,
    )

    unknown = (
        DataDependentOutputException,
        DynamicOutputShapeException,
        UnsupportedOperatorException,
    )
    return isinstance(error, unknown)
