"""Functions that a GPU computes by another operator than the meta device, and so keeps less."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class GpuFunctions(TorchFunctionMode):
    """Lets dropout keep a mask of one byte an element, as its kernel on a GPU does.

    Elsewhere it multiplies by a mask in the dtype of its input, which autograd keeps.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _dropout(input: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    if not train or p == 0 or input.numel() == 0:
        return torch.dropout(input, p, train)
    result: torch.Tensor = torch.native_dropout(input, p, train)[0]
    return result


@contextmanager
def transparent_functions() -> Iterator[None]:
    """Let function modes see what PyTorch's own Python functions call.

    Such a function (of `torch.nn.functional`, or the backward pass, in which checkpointed blocks
    run again) is otherwise handed to the mode as one, and what is inside runs without it.
    """
    originals: list[tuple[Any, str, Callable[..., bool]]] = [
        (module, name, function)
        for module in (F, torch.autograd)
        for name, function in vars(module).items()
        if name.startswith("has_torch_function")
    ]
    for module, name, _ in originals:
        setattr(module, name, _never)
    try:
        yield
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


def _never(*args: object) -> bool:
    return False
