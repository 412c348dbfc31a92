"""`torch.autocast` where a network itself, or who counts it, enters it: its casts on meta tensors.

PyTorch's autocast asks each tensor in C++ whether it is on the CPU or a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from archscope.analysis import dispatch
from archscope.analysis.autocast import Autocast, has_single
from archscope.analysis.gpu_functions import transparent_functions
from archscope.analysis.values.contents import is_meta
from archscope.process import patched_here

HALF_ON_CPU = frozenset(
    (
        "__matmul__", "__rmatmul__", "_convolution", "addbmm", "addmm", "baddbmm", "bmm",
        "chain_matmul", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d",
        "conv_transpose2d", "conv_transpose3d", "einsum", "inner", "linalg_multi_dot",
        "linalg_vecdot", "linear", "matmul", "mm", "prelu", "scaled_dot_product_attention",
        "tensordot", "vecdot",
    )
)  # fmt: skip
"""Functions that autocast computes in half precision on a CPU (torch.amp), or their products."""

WIDEST_ON_CPU = frozenset(("cat", "index_copy", "stack"))
"""Functions whose floating arguments it converts to the widest dtype among them."""


@cache
def _in_single_on_cpu(name: str) -> bool:
    """Whether autocast converts a function's floating arguments to float32 on a CPU.

    It does for whatever else has a kernel for autocast.
    """
    if name in HALF_ON_CPU or name in WIDEST_ON_CPU:
        return False
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    with contextlib.suppress(RuntimeError):  # no operator of this name
        return bool(has_kernel(f"aten::{name}", "AutocastCPU"))
    return False


class _OwnAutocast(Autocast):
    """Converts what is on meta, as long as autocast is on for a kind of device.

    Args:
        kind: the user's, `cpu` or `cuda`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(torch.get_autocast_dtype(kind))
        self.kind = kind

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if not torch.is_autocast_enabled(self.kind):
            return func(*args, **kwargs)
        self.dtype = torch.get_autocast_dtype(self.kind)
        if self.kind == "cuda":
            return super().__torch_function__(func, types, args, kwargs)
        name = getattr(func, "__name__", "")
        dtype = self._dtype_on_cpu(name, (args, kwargs))
        if dtype is not None:
            args, kwargs = self._converted(args, dtype), self._converted(kwargs, dtype)
        return func(*args, **kwargs)

    def _dtype_on_cpu(self, name: str, arguments: Any) -> torch.dtype | None:
        if name in HALF_ON_CPU:
            return self.dtype
        if name in WIDEST_ON_CPU:
            return torch.float32 if has_single(arguments) else self.dtype
        return torch.float32 if _in_single_on_cpu(name) else None

    def _cast(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        with torch._C.DisableTorchFunction():  # modes further out answer for the user's device
            on_meta = is_meta(tensor)
        return super()._cast(tensor, dtype) if on_meta else tensor


@contextlib.contextmanager
def own_autocast() -> Iterator[None]:
    """Let autocast of a run's thread work on meta tensors, entered before it or inside."""
    kind = dispatch.run.device or dispatch.run.users or "cpu"
    entered: dict[int, contextlib.ExitStack] = {}

    def enter(block: Any) -> Any:
        result = _enter(block)
        if block.device == "cuda" and kind != "cuda":
            dispatch.say(ONLY_ON_A_GPU)
        if not entered and torch.is_autocast_enabled(kind):
            entered[id(block)] = _casting(kind)
        return result

    def leave(block: Any, *error: Any) -> Any:
        if (casting := entered.pop(id(block), None)) is not None:
            casting.close()
        return _leave(block, *error)

    patches: list[tuple[Any, str, Any]] = [
        (torch.autocast, "__enter__", enter),
        (torch.autocast, "__exit__", leave),
    ]
    if kind == "cuda":
        patches += [
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        ]
    with patched_here(patches), contextlib.ExitStack() as outer:
        if torch.is_autocast_enabled(kind):
            outer.enter_context(_casting(kind))
        yield


ONLY_ON_A_GPU = (
    'The network enters torch.autocast("cuda"), which casts nothing on a CPU: counted without it; '
    "the device cuda counts it as on a GPU."
)

_enter: Any = torch.autocast.__enter__
_leave: Any = torch.autocast.__exit__


def _casting(kind: str) -> contextlib.ExitStack:
    casting = contextlib.ExitStack()
    casting.enter_context(transparent_functions())
    casting.enter_context(_OwnAutocast(kind))
    return casting
