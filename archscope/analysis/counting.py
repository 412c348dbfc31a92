"""Operators that a thread which counts answers in its own way, whatever name a network calls.

Some functions fall apart on the meta device into what no device runs (attention, norms), and some
run their own compiler first (higher-order operators). They are taken over in PyTorch's dispatcher
and not in Python, so it does not matter under which name a network has bound them.
The kernels are registered once, under a dispatch key of a backend that no public build has; only a
thread that includes the key, for the time of its run, ever calls them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

from archscope.analysis import attention, flex, higher_order, jagged, norms
from archscope.analysis.dispatch import KEY, Measure, run

KERNELS = {
    "rms_norm": norms.rms_norm,
    "scaled_dot_product_attention": attention.attention,
}
"""What answers for which operator of PyTorch."""

LATE = (flex.MODULE, jagged.OPERATORS, "torch._dynamo")
"""Modules that a run changes where they are imported, and that take seconds to import."""


def imported_late() -> frozenset[str]:
    """Which of `LATE` are imported: a network that imports one in `forward` was run without."""
    return frozenset(name for name in LATE if name in sys.modules)


@contextmanager
def counting(
    device: str | None = None,
    measure: Measure | None = None,
    place: Callable[[], str] | None = None,
) -> Iterator[set[str]]:
    """Let the kernels answer in this thread.

    Args:
        device: `cpu` or `cuda`; the user's when `None`, else that of each query, `cpu` on meta.
        measure: what a function costs, of which nothing else stays; without it the first branch of
            an unknown condition runs.
        place: the name of the module that runs.

    Yields:
        the kernels that attention has chosen so far, such as `flash on cpu`.
    """
    _register()
    before = dict(vars(run))
    excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(KEY)
    chosen: set[str] = set()
    try:
        run.device, run.attention_kernels = device or run.users, chosen
        run.branches, run.scores = {}, {}
        run.measure, run.place = measure, place
        torch._C._dispatch_tls_set_dispatch_key_excluded(KEY, False)
        with (
            torch._C._IncludeDispatchKeyGuard(KEY),
            flex.uncompiled(),
            higher_order.uncompiled(),
            jagged.attention_in_sequences(),
        ):
            yield chosen
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(KEY, excluded)
        vars(run).clear()
        vars(run).update(before)


@cache
def _register() -> tuple[torch.library.Library, torch.library.Library]:
    """Register the kernels, and let every other operator pass the key by."""
    library, others = (torch.library.Library(ns, "IMPL") for ns in ("aten", "_"))  # type: ignore[no-untyped-call]
    others.fallback(torch.library.fallthrough_kernel, KEY.name)  # type: ignore[no-untyped-call]
    for operator, kernel in KERNELS.items():
        library.impl(operator, kernel, KEY.name)  # type: ignore[no-untyped-call]
    higher_order.register()
    return library, others
