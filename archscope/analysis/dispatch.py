"""The dispatch key of threads that count, and what such a thread knows; see `counting`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from archscope.process import watch

Measure = Callable[[Callable[[], Any]], tuple[int, int]]

KEY = torch._C._dispatch_key_parse("AutocastIPU")
"""Above autograd, so that what a kernel calls has its gradient."""


class Run(threading.local):
    """What the present thread counts for.

    Args:
        device: on which attention chooses its kernel; that of its query when `None`.
        users: the device that the user asks about, where a run says no other.
        gradients: whether autograd records in a forward pass too that no backward pass follows.
        attention_kernels: those that were chosen; `None` while the thread counts nothing.
        branches: where the network could go several ways, and which was counted, in words.
        scores: of heads whose queries do not see every key: how many are computed, and needed.
        said: what the reader of a count must know of its run, in sentences.
        measure: MACs and elementwise operations of a function, of which nothing else stays.
        place: the name of the module that runs.
    """

    device: str | None = None
    users: str | None = None
    gradients: bool = False
    attention_kernels: set[str] | None = None
    branches: dict[str, None]
    scores: dict[tuple[int, int], None]
    said: dict[str, None]
    measure: Measure | None = None
    place: Callable[[], str] | None = None

    def __init__(self) -> None:
        self.branches = {}
        self.scores = {}
        self.said = {}


run = Run()


def say(sentence: str) -> None:
    """Tell the reader of the count something of its run."""
    run.said[sentence] = None


@contextmanager
def asking_about(device: str | None, gradients: bool = False) -> Iterator[dict[str, None]]:
    """Say how runs of this thread go; what the reader must know of them is there at the end.

    Args:
        device: as on which; what holds outside when `None`.
        gradients: see `Run`.
    """
    before = run.users, run.gradients, run.said
    try:
        run.users, run.gradients = device or run.users, gradients or run.gradients
        run.said = {}
        yield run.said
    finally:
        run.users, run.gradients, run.said = before


watch(lambda: dict(vars(run)), lambda before: vars(run).update(before))
watch(
    lambda: torch._C._dispatch_tls_is_dispatch_key_excluded(KEY),
    lambda before: torch._C._dispatch_tls_set_dispatch_key_excluded(KEY, before),
)
