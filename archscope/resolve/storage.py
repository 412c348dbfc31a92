"""Building a network without storage: every parameter and buffer on PyTorch's meta device."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.process import collector_paused, interruptible, patched_here, undisturbed

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 0
"""Seed of every network that is built with storage."""


@contextlib.contextmanager
def weightless() -> Iterator[None]:
    """Let modules that are constructed inside have their parameters on the meta device.

    PyTorch's own layers ask for meta tensors from the start, any other parameter moves as it is
    registered, and initialisation is skipped.
    All other tensor arithmetic stays real, so constructors may compute widths with tensors.
    Buffers of the network stay where the constructor puts them.
    """
    import torch
    from torch import nn
    from torch.utils._device import _device_constructors

    from archscope.resolve import large

    register = nn.Module.register_parameter

    def registered(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param if param is None or param.is_meta else _twin(param))

    patches: list[tuple[Any, str, Any]] = [
        (torch, name, _for_layers_on_meta(getattr(torch, name)))
        for name in ("empty", "zeros", "ones", "rand", "randn")
    ]
    patches += [(kind, "reset_parameters", _skip_reset) for kind in _layers_that_reset()]
    patches.append((nn.Module, "register_parameter", registered))
    _device_constructors()  # a list that PyTorch makes once, of what it finds
    with _uninitialised(), patched_here(patches), large.on_meta():
        yield


def build(construct: Callable[[], nn.Module]) -> nn.Module:
    """Call a constructor and return its network in eval mode, without storage.

    Raises:
        Exception: as `build_unmoved`.
    """
    module = build_unmoved(construct)
    _move(module)
    with contextlib.suppress(NotImplementedError):  # an exported network has one mode
        module.eval()
    return module


def build_unmoved(construct: Callable[[], nn.Module]) -> nn.Module:
    """Call a constructor and return its network as it is, without storage where it is new.

    A constructor that computes with its parameters (or runs them) fails on the meta device; it is
    called again with real storage that nothing initialises.
    Random number generators are left as they were.

    Raises:
        Exception: whatever the constructor raises with real storage too.
    """
    with _generators_kept(), collector_paused():
        try:
            with weightless(), interruptible():
                return construct()
        except ArchscopeError:
            raise
        except Exception:
            with _uninitialised(), interruptible():
                return construct()


def build_with_storage(construct: Callable[[], nn.Module]) -> nn.Module:
    """Call a constructor as anyone would, on the CPU under a fixed seed.

    Random number generators are left as they were.
    """
    import torch

    from archscope.resolve.watch import forget

    with undisturbed(), _generators_kept(), torch.device("cpu"):
        random.seed(SEED)
        torch.default_generator.manual_seed(SEED)
        with interruptible():
            module = construct()
    forget()
    return module


def weightless_copy(module: nn.Module) -> nn.Module:
    """Copy a network onto the meta device; the original keeps its weights and stays untouched.

    Shared parameters stay shared.
    """
    memo: dict[int, Any] = {id(p): _parameter(p) for p in module.parameters()}
    memo |= {id(b): _buffer(b) for b in module.buffers()}
    return copy.deepcopy(module, memo)


def _parameter(param: nn.Parameter) -> nn.Parameter:
    import torch
    from torch import nn

    if nn.parameter.is_lazy(param):  # has no shape before the first forward pass
        on_meta: nn.Parameter = type(param)(requires_grad=param.requires_grad, device="meta")
    else:
        on_meta = nn.Parameter(torch.empty_like(param, device="meta"), param.requires_grad)
    on_meta.__dict__.update(param.__dict__)
    return on_meta


def _twin(param: nn.Parameter) -> nn.Parameter:
    """The meta parameter in its place, always the same one, so that tied ones stay tied."""
    twin: nn.Parameter | None = getattr(param, "_archscope_twin", None)
    if twin is None:
        twin = _parameter(param)
        param._archscope_twin = twin  # type: ignore[attr-defined]
    return twin


def _buffer(buffer: Tensor) -> Tensor:
    import torch

    return torch.empty_like(buffer, device="meta")


def _move(module: nn.Module) -> None:
    """Move what is not on the meta device yet, in place; what was shared stays shared."""
    buffers: dict[int, Tensor] = {}
    for part in module.modules():
        for name, param in part._parameters.items():
            if param is not None and not param.is_meta:
                setattr(part, name, _twin(param))  # recurrent layers keep a second list
        for name, buffer in part._buffers.items():
            if buffer is not None and not buffer.is_meta and not _decides(name, buffer):
                if id(buffer) not in buffers:
                    buffers[id(buffer)] = _buffer(buffer)
                part._buffers[name] = buffers[id(buffer)]


def _decides(name: str, buffer: Tensor) -> bool:
    """Whether a buffer holds indices or flags, by which a network may choose its way."""
    from archscope.resolve.large import LARGE

    whole = not (buffer.is_floating_point() or buffer.is_complex())
    return whole and name != "num_batches_tracked" and buffer.numel() < LARGE


@contextlib.contextmanager
def _uninitialised() -> Iterator[None]:
    """Skip the functions of `torch.nn.init`."""
    from torch.nn import init

    names = [name for name in dir(init) if name.endswith("_") and not name.startswith("_")]
    with patched_here([(init, name, _skip_init) for name in names]):
        yield


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore the CPU generators of torch and Python (constructors draw from no other)."""
    import torch

    torch_state, python_state = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)


def _for_layers_on_meta(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's layers pass `device=None` on; arithmetic in constructors gives no device."""

    def made(*size: Any, **options: Any) -> Tensor:
        if "device" in options and options["device"] is None:
            options["device"] = "meta"
        return make(*size, **options)

    return made


def _layers_that_reset() -> list[type[nn.Module]]:
    from torch import nn
    from torch.nn.modules import batchnorm, conv

    return [conv._ConvNd, batchnorm._NormBase, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.Embedding]


def _skip_init(tensor: Tensor, *args: object, **options: object) -> Tensor:
    return tensor


def _skip_reset(module: nn.Module) -> None:
    """Leave a layer uninitialised."""
