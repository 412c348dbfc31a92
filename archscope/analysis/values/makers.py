"""What a network makes of numbers and arrays while a count runs: PyTorch makes it unseen."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _device

from archscope.analysis.values.contents import is_meta
from archscope.analysis.values.known import ask_whether_lent, make_on_meta
from archscope.analysis.values.reader import running


def answers() -> list[tuple[Any, str, Any]]:
    """PyTorch's functions that make tensors, each with what stands for it while a run lasts."""
    array = _of_array(torch.from_numpy)
    return [
        (torch, "tensor", _from_numbers(torch.tensor)),
        (torch, "from_numpy", array),
        (torch, "as_tensor", _as_tensor(_from_numbers(torch.as_tensor), array)),
    ]


def _from_numbers(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of numbers PyTorch makes a tensor on meta out of the mode's sight."""

    def made(*args: Any, **kwargs: Any) -> Tensor:
        tensor = make(*args, **kwargs)
        asked = kwargs.get("device") or _surrounding_device()
        if torch.device(asked).type != "meta" or (args and isinstance(args[0], Tensor)):
            return tensor
        return make_on_meta(tensor)

    return made


def _of_array(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of an array PyTorch makes a tensor over its memory; nobody else may have the array."""

    def made(array: Any, *args: Any, **kwargs: Any) -> Tensor:
        tensor = make(array, *args, **kwargs)
        if running() is not None and is_meta(tensor) and getattr(array, "base", tensor) is None:
            with suppress(TypeError):  # of what has no weak references
                ask_whether_lent(tensor, partial(_referenced, weakref.ref(array)))
        return tensor

    return made


def _as_tensor(
    numbers: Callable[..., Tensor], array: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    """`torch.as_tensor`, which under a mode copies an array that it shares otherwise."""

    def made(data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        numpy: Any = sys.modules.get("numpy")
        if numpy is None or type(data) is not numpy.ndarray or running() is None:
            return numbers(data, dtype=dtype, device=device)
        return array(data).to(device=device or _surrounding_device(), dtype=dtype)

    return made


def _referenced(reference: weakref.ref[Any]) -> object:
    """An array; `None` where only the tensor over its memory still has it."""
    array = reference()
    return array if sys.getrefcount(array) > OWN_REFERENCES else None


OWN_REFERENCES = 3
"""Of an array: the tensor's, and two of whoever counts them."""


def _surrounding_device() -> torch.device:
    """Of `with torch.device(…)`: `torch.get_default_device` makes a tensor to find it."""
    for place in reversed(range(torch._C._len_torch_function_stack())):
        mode = torch._C._get_function_stack_at(place)
        if isinstance(mode, _device.DeviceContext):
            return torch.device(mode.device)
    return torch.device("cpu")
