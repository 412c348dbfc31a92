"""How much memory a run on the CPU may take: never by surprise what the system needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from archscope.errors import ArchscopeError
from archscope.parameters import ALLOW_MEMORY, parameter
from archscope.units import binary_bytes, parse_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from archscope.ask.network.subject import Subject

Result = TypeVar("Result")
Task = TypeVar("Task")
Given = ParamSpec("Given")

_ALLOWED: ContextVar[int | None] = ContextVar("allowed", default=None)
"""Bytes; `None` for half of the free memory."""


@contextmanager
def allowed(memory: int | str | None) -> Iterator[None]:
    """Let runs on the CPU inside take so much memory.

    Args:
        memory: bytes, or a text such as `40GiB`; what holds outside when `None`.

    Raises:
        ArchscopeError: it is not a quantity of bytes.
    """
    if memory is None:
        yield
        return
    name = parameter(ALLOW_MEMORY)
    before = _ALLOWED.set(memory if isinstance(memory, int) else parse_bytes(memory, name))
    try:
        yield
    finally:
        _ALLOWED.reset(before)


def with_allowance(function: Callable[[Task], Result]) -> Callable[[Task], Result]:
    """A task's function with what is allowed here, for a process that starts with nothing."""
    return partial(_within, _ALLOWED.get(), function)


def _within(memory: int | None, function: Callable[[Task], Result], task: Task) -> Result:
    with allowed(memory):
        return function(task)


def require_memory(
    subject: Subject,
    inputs: Iterable[Tensor],
    why: str,
    *,
    activations: int = 0,
    gradients: bool = False,
) -> None:
    """Refuse a run on the CPU that takes more than half of the free memory, or than is allowed.

    Args:
        subject: the network; weights that it has already take nothing more.
        inputs: of its call.
        why: the beginning of the sentence that refuses.
        activations: bytes that are in memory at once, as far as that is known.
        gradients: whether each trainable parameter gets a gradient.

    Raises:
        ArchscopeError: with what is needed, of what, and what there is.
    """
    parameters = {id(p): p for p in subject.module.parameters()}
    tensors = {id(b): b for b in subject.module.buffers()} | parameters
    weights = sum(t.nbytes for t in tensors.values() if t.is_meta)
    trained = [p for p in parameters.values() if p.requires_grad] if gradients else []
    parts = {
        "weights": weights,
        "gradients": sum(p.nbytes for p in trained),
        "activations": activations,
        "inputs": sum(t.nbytes for t in inputs if t.is_meta),
    }
    needed = sum(parts.values())
    limit, of = _limit()
    if limit is None or needed <= limit:
        return
    named = ", ".join(f"{binary_bytes(size)} of {part}" for part, size in parts.items() if size)
    raise ArchscopeError(
        subject.name,
        f"{why} takes at least {binary_bytes(needed)} ({named}) where {of} {binary_bytes(limit)}",
        f"allow more with {parameter(ALLOW_MEMORY, f'{needed // 2**30 + 1}GiB')}",
    )


def _limit() -> tuple[int | None, str]:
    import torch

    from archscope.measure import memory

    allowed_bytes = _ALLOWED.get()
    if allowed_bytes is not None:
        return allowed_bytes, f"{parameter(ALLOW_MEMORY)} is"
    try:
        return memory.available_bytes(torch.device("cpu")) // 2, "half of the free memory is"
    except ArchscopeError:  # a system that does not say
        return None, ""


def allowing(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function allow what its `allow_memory` says."""

    @wraps(function)
    def allowed_to(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        memory: Any = kwargs.get("allow_memory")
        with allowed(memory):
            return function(*args, **kwargs)

    return allowed_to
