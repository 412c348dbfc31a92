"""Functions that a GPU computes by another operator than the meta device, and so keeps less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from archscope.process import patched_here


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
    answers = [
        (module, name, _never)
        for module in (F, torch.autograd)
        for name in vars(module)
        if name.startswith("has_torch_function")
    ]
    with patched_here(answers):
        yield


def _never(*args: object) -> bool:
    return False
