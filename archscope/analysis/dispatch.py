"""The dispatch key of threads that count, and what such a thread knows; see `counting`."""

from __future__ import annotations

import threading

import torch

KEY = torch._C._dispatch_key_parse("AutocastIPU")
"""Above autograd, so that what a kernel calls has its gradient."""


class Run(threading.local):
    """What the present thread counts for.

    Args:
        device: on which attention chooses its kernel; that of its query when `None`.
        attention_kernels: those that were chosen; `None` while the thread counts nothing.
    """

    device: str | None = None
    attention_kernels: set[str] | None = None


run = Run()
