"""Large memory that a constructor asks for, as for the weights of all experts, is on meta.

Seen in PyTorch's dispatcher, so it does not matter by which name a file has bound `torch.empty`.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from archscope.process import watch

LARGE = 2**22
"""Elements, 16 MiB in float32: no constructor computes its sides with so many."""

OWN_PAGES = 2**18
"""Elements from which memory has pages of its own, which go back when it is freed. In malloc's
heap, what 58 routers filled and freed stays resident: small objects have split it by then."""

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
        elements = prod(size)
        here = device is None or device.type == "cpu"
        if elements >= LARGE and here:
            device = torch.device("meta")
        with torch._C._ExcludeDispatchKeyGuard(_BELOW):
            if LARGE > elements >= OWN_PAGES and here and not sides and _is_plain(options):
                return _with_own_pages(size, options.get("dtype") or torch.get_default_dtype())
            return operator(size, *sides, device=device, **options)  # type: ignore[no-any-return]

    return empty


def _is_plain(options: Mapping[str, Any]) -> bool:
    """Whether memory in rows of floating numbers is asked for."""
    dtype = options.get("dtype")
    others = [value for key, value in options.items() if key != "dtype"]
    return (dtype is None or dtype.is_floating_point) and not any(others)


def _with_own_pages(size: Sequence[int], dtype: torch.dtype) -> Tensor:
    pages = mmap.mmap(-1, prod(size) * dtype.itemsize)
    return torch.frombuffer(pages, dtype=dtype).view(size)


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
