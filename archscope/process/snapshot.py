"""What code of a network can change in the process: random states, modes and flags."""

from __future__ import annotations

import functools
import gc
import random
import sys
from collections.abc import Callable
from typing import Any

from archscope.process.surroundings import FLAGS, Flag

_watched: list[Flag] = []


def watch(ask: Callable[[], Any], set_to: Callable[[Any], None]) -> None:
    """Put back something else after each count.

    Args:
        ask: what it is.
        set_to: makes it what it was.
    """
    _watched.append((ask, set_to))


class Snapshot:
    """The state of the process that code of a network can change."""

    def __init__(self) -> None:
        self.is_back = False
        self.recursion = sys.getrecursionlimit()
        self.watched = [(ask(), set_to) for ask, set_to in _watched]
        self.surroundings = [(ask(), set_to) for ask, set_to in FLAGS]
        self.collector = gc.isenabled()
        self.python = random.getstate()
        numpy = sys.modules.get("numpy.random")
        self.numpy = None if numpy is None else numpy.get_state()
        self.torch = _Torch() if "torch" in sys.modules else None

    def put_back(self) -> None:
        sys.setrecursionlimit(self.recursion)
        for before, set_to in self.watched:
            set_to(before)
        for before, set_to in self.surroundings:
            set_to(before)
        if self.torch is not None:
            self.torch.put_back()
        if random.getstate() != self.python:
            random.setstate(self.python)
        if self.numpy is not None:
            _put_back_numpy(self.numpy)
        if gc.isenabled() != self.collector:
            (gc.enable if self.collector else gc.disable)()
        self.is_back = True


def _put_back_numpy(before: Any) -> None:
    numpy: Any = sys.modules["numpy.random"]
    now = numpy.get_state()
    if now[0] != before[0] or now[2:] != before[2:] or (now[1] != before[1]).any():
        numpy.set_state(before)


class _Torch:
    """PyTorch's modes, flags and generator on the CPU."""

    def __init__(self) -> None:
        import torch

        self.generator = torch.get_rng_state()
        self.function_modes = _function_modes()
        self.dispatch_modes = torch._C._len_torch_dispatch_stack()
        self.device = _default_device()
        self.flags = [(ask(), set_to) for ask, set_to in _flags()]

    def put_back(self) -> None:
        import torch
        from torch.utils._python_dispatch import _pop_mode

        while torch._C._len_torch_dispatch_stack() > self.dispatch_modes:
            _pop_mode()
        modes = _function_modes()
        if len(modes) != len(self.function_modes) or any(
            now is not before for now, before in zip(modes, self.function_modes, strict=True)
        ):
            for _ in modes:
                torch._C._pop_torch_function_stack()
            for mode in self.function_modes:
                torch._C._push_on_torch_function_stack(mode)
        _set_default_device(self.device)
        for (before, set_to), (ask, _) in zip(self.flags, _flags(), strict=True):
            if ask() != before:
                set_to(before)
        if not torch.equal(torch.get_rng_state(), self.generator):
            torch.set_rng_state(self.generator)


def _function_modes() -> list[Any]:
    import torch

    length = torch._C._len_torch_function_stack()
    return [torch._C._get_function_stack_at(place) for place in range(length)]


def _default_device() -> tuple[Any, Any]:
    """Of `with torch.device(…)`, and of `torch.set_default_device`."""
    import torch
    from torch.utils import _device

    return _device.CURRENT_DEVICE, getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _set_default_device(device: tuple[Any, Any]) -> None:
    import torch
    from torch.utils import _device

    _device.CURRENT_DEVICE = device[0]
    if getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None) is not device[1]:
        torch._GLOBAL_DEVICE_CONTEXT.device_context = device[1]


def _autocast_depth() -> int:
    """How many autocast blocks are open, which PyTorch tells only while it changes it."""
    import torch

    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    return depth


def _set_autocast_depth(depth: int) -> None:
    """Close blocks that were left open; casts of weights that they cached would outlive them."""
    import torch

    for _ in range(_autocast_depth() - depth):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()


def _print_options() -> dict[str, Any]:
    from torch._tensor_str import PRINT_OPTS

    return dict(vars(PRINT_OPTS))


def _set_print_options(before: dict[str, Any]) -> None:
    from torch._tensor_str import PRINT_OPTS

    vars(PRINT_OPTS).update(before)


@functools.cache
def _flags() -> tuple[Flag, ...]:
    """How each flag of PyTorch is asked and set."""
    import torch

    per_device = [
        (functools.partial(ask, device), functools.partial(set_to, device))
        for device in ("cpu", "cuda")
        for ask, set_to in (
            (torch.is_autocast_enabled, torch.set_autocast_enabled),
            (torch.get_autocast_dtype, torch.set_autocast_dtype),
        )
    ]
    return (
        (torch.is_grad_enabled, torch._C._set_grad_enabled),
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
        (torch._C._get_cudnn_deterministic, torch._C._set_cudnn_deterministic),
        (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
        (_print_options, _set_print_options),
        (_autocast_depth, _set_autocast_depth),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.get_num_threads, torch.set_num_threads),
        (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
        *per_device,
    )  # fmt: skip
