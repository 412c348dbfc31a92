"""Operators of archscope's own, which stand for several of PyTorch's that belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


def defined(kernels: Mapping[str, Callable[..., Any]]) -> torch.library.Library:
    """Define operators in the namespace `archscope`.

    Args:
        kernels: by schema, `name(Tensor x) -> Tensor`.

    Returns:
        what keeps them defined as long as it is held.
    """
    library = torch.library.Library("archscope", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema, kernel in kernels.items():
        library.define(schema)  # type: ignore[no-untyped-call]
        name = schema.partition("(")[0]
        library.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    return library
