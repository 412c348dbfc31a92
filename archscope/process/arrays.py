"""How tensors and arrays of NumPy's are noted, and put back."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any


def is_as_before(array: Any, before: Any) -> bool:
    """Whether an array holds what a copy of it holds."""
    return bool(array.tobytes() == before.tobytes())


def rewrite(array: Any, before: Any) -> None:
    """Make an array what its copy is."""
    if not array.flags.writeable:
        array.setflags(write=True)
    if array.shape != before.shape:
        array.resize(before.shape, refcheck=False)
    if not is_as_before(array, before):
        array[...] = before


def is_ordinary(tensor: Any) -> bool:
    """Whether a tensor is in the CPU's memory, and may be written to."""
    torch: Any = sys.modules["torch"]
    there = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return there and not tensor.is_inference()


def of_tensor(tensor: Any, copied: bool) -> Callable[[], None]:
    """How a tensor is put back, with its values if it is copied."""
    own = tensor.detach()
    before = own.clone() if copied else None
    gradient = tensor.grad if tensor.is_leaf else None
    return functools.partial(
        _rewrite_tensor, tensor, own, before, gradient, bool(tensor.requires_grad)
    )


def _rewrite_tensor(tensor: Any, own: Any, before: Any, gradient: Any, trained: bool) -> None:
    """Compared by value: the kernels of normalisation write without a new version."""
    if _place(tensor) != _place(own):
        tensor.data = own
    if tensor.grad is not gradient:
        tensor.grad = gradient
    if tensor.is_leaf and tensor.requires_grad is not trained:
        tensor.requires_grad_(trained)
    if before is not None and not before.equal(tensor):
        tensor.data.copy_(before)


def _place(tensor: Any) -> tuple[Any, ...]:
    """The memory of a tensor, and how it is laid out there."""
    return tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride()
