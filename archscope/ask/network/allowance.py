"""How much memory a run on the CPU may take: never by surprise what the system needs."""

from __future__ import annotations

import os

from archscope.ask.network.subject import Subject
from archscope.errors import ArchscopeError
from archscope.units import binary_bytes, parse_bytes

MEMORY_VARIABLE = "ARCHSCOPE_ALLOW_MEMORY"
"""Of the environment: what the weights of a run on the CPU may take, such as `40GiB`."""


def require_memory(subject: Subject, where: str) -> None:
    """Refuse to fill more than half of the free memory with weights, unless that is allowed.

    Raises:
        ArchscopeError: with both figures.
    """
    import torch

    from archscope.measure import memory

    tensors = {id(t): t for t in (*subject.module.parameters(), *subject.module.buffers())}
    needed = sum(t.nbytes for t in tensors.values() if t.is_meta)
    allowed = os.environ.get(MEMORY_VARIABLE)
    if allowed:
        limit, of = parse_bytes(allowed, MEMORY_VARIABLE), f"{MEMORY_VARIABLE} allows"
    else:
        try:
            limit, of = (
                memory.available_bytes(torch.device("cpu")) // 2,
                "half of the free memory is",
            )
        except ArchscopeError:  # a system that does not say
            return
    if needed > limit:
        raise ArchscopeError(
            subject.name,
            f"{where} needs the values of tensors, and the weights of a run on the CPU take "
            f"{binary_bytes(needed)} where {of} {binary_bytes(limit)}",
            f"allow more with {MEMORY_VARIABLE}={needed // 2**30 + 1}GiB",
        )
