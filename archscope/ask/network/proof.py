"""Whose fault a failure is: the same call as PyTorch runs it, without archscope in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archscope.ask.network.allowance import require_memory
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject


def runs(
    subject: Subject, call: NetworkCall, backward: bool, gradients: bool = False
) -> bool | None:
    """Whether PyTorch runs a call of a network.

    Args:
        subject: the network; a copy of it is run.
        call: what it is called with.
        backward: whether its outputs are differentiated too.
        gradients: whether autograd records also where they are not.

    Returns:
        `None` where it has no weights, or they take more memory than may be taken.
    """
    import inspect

    import torch

    from archscope.analysis import borrow
    from archscope.analysis.nested import reached, tensors
    from archscope.analysis.one_device import OneDevice
    from archscope.process import interruptible
    from archscope.process.unnoticed import unheard

    if subject.rebuild is None:
        return None
    try:
        require_memory(subject, tensors(call.on_meta()), "a trial", gradients=backward)
    except ArchscopeError:
        return None
    try:
        with OneDevice():
            module, given = subject.rebuild(), call.original(on_meta=False)
        copies: Any = borrow.copied(module, given, borrow.with_storage)
        records = torch.set_grad_enabled(backward or gradients)
        with copies as (network, (args, kwargs)), OneDevice(), records:
            borrow.set_training(network, False)
            with unheard(), interruptible():
                outputs = network(*args, **kwargs)
                if inspect.iscoroutine(outputs):
                    outputs.close()
                ends = [end for end in reached(outputs) if end.requires_grad and backward]
                if ends:
                    torch.autograd.backward(ends, [torch.ones_like(end) for end in ends])
    except Exception:
        return False
    return True
