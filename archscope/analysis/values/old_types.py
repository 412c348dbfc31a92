"""`torch.FloatTensor` and its like, the names of types that older networks compare tensors with.

`isinstance(x, torch.cuda.FloatTensor)` asks C++ where a tensor is, so a class of the same name
answers while a count runs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor


class OldType(type):
    """A class that passes for one of PyTorch's old types.

    Args:
        original: what it passes for.
    """

    original: Any

    def __instancecheck__(cls, value: Any) -> bool:
        if not isinstance(value, Tensor):
            return False
        return bool(value.type() == f"{cls.__module__}.{cls.__name__}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.original(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.original, name)

    def __eq__(cls, other: object) -> bool:
        return cls is other or cls.original is other

    def __hash__(cls) -> int:
        return hash(cls.original)


@cache
def answers() -> list[tuple[Any, str, OldType]]:
    """Patches of PyTorch's old types."""
    kind = type(torch.FloatTensor)
    return [
        (home, name, OldType(name, (), {"__module__": home.__name__, "original": value}))
        for home in (torch, torch.cuda)
        for name, value in vars(home).items()
        if isinstance(value, kind)
    ]
