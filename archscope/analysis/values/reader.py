"""The run that a tensor's device and values are asked of."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, cast

import torch
from torch import Tensor


class Reader(Protocol):
    """The mode of a run, of which a tensor's value can be asked."""

    @property
    def users_device(self) -> torch.device:
        """Where the user's tensors are."""

    def read(self, tensor: Tensor) -> Tensor:
        """The tensor with its values, never to be written to."""

    def need_value(self) -> NoReturn:
        """Stop the run, which goes on with values.

        Raises:
            ValueNeeded: always.
        """


def running() -> Reader | None:
    """The run of this thread; `None` inside of PyTorch's own kernels."""
    for place in range(torch._C._len_torch_dispatch_stack()):
        mode: Any = torch._C._get_dispatch_stack_at(place)
        if getattr(mode, "users_device", None) is not None:
            return cast(Reader, mode)
    return None
