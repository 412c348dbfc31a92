"""Large memory that a constructor asks for, as for the weights of all experts, is on meta.

Seen in PyTorch's dispatcher, so it does not matter by which name a file has bound `torch.empty`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from archscope.process import watch

LARGE = 2**22
"""Elements, 16 MiB in float32: no constructor computes its sides with so many."""

_KEY = torch._C._dispatch_key_parse("AutocastHPU")
"""The dispatch key of a backend that no public build has, in use by threads that build."""

_BELOW = torch._C.DispatchKeySet(_KEY)


@contextmanager
def on_meta() -> Iterator[None]:
    """Let large memory that this thread asks for inside be on meta."""
    _register()
    excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(_KEY)
    try:
        torch._C._dispatch_tls_set_dispatch_key_excluded(_KEY, False)
        with torch._C._IncludeDispatchKeyGuard(_KEY):
            yield
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(_KEY, excluded)


def _answering(operator: Any) -> Callable[..., Tensor]:
    """The operator, on meta where it is asked for large memory here."""

    def empty(size: Sequence[int], *sides: Any, device: Any = None, **options: Any) -> Tensor:
        if prod(size) >= LARGE and (device is None or device.type == "cpu"):
            device = torch.device("meta")
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            return operator(size, *sides, device=device, **options)  # type: ignore[no-any-return]

    return empty


@cache
def _register() -> tuple[torch.library.Library, torch.library.Library]:
    """Register what answers for memory, and let every other operator pass the key by."""
    library, others = (torch.library.Library(ns, "IMPL") for ns in ("aten", "_"))  # type: ignore[no-untyped-call]
    name = _KEY.name
    others.fallback(torch.library.fallthrough_kernel, name)  # type: ignore[no-untyped-call]
    aten = torch.ops.aten
    for operator in (aten.empty.memory_format, aten.empty_strided.default):
        library.impl(operator._name, _answering(operator), name)  # type: ignore[no-untyped-call]
    return library, others


watch(
    lambda: torch._C._dispatch_tls_is_dispatch_key_excluded(_KEY),
    lambda before: torch._C._dispatch_tls_set_dispatch_key_excluded(_KEY, before),
)
