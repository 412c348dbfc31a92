"""Networks whose lazy modules learn their sizes from the first call: that call, on a copy."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject


def materialised(subject: Subject, call: NetworkCall) -> Subject:
    """The same network with its lazy modules at the sizes of a call; the user's own stays lazy.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    from archscope.ask.network.runs import executed, run_once

    if call.spec.symbols or not _has_lazy(subject.module):
        return subject

    def run(network: nn.Module, arguments: Any, on_meta: bool) -> nn.Module:
        network.eval()
        run_once(network, arguments, False, on_meta)
        return network

    module, _, _ = executed(subject, call, run)
    rebuild = None if subject.rebuild is None else lambda: _with_values(subject, call)
    return replace(subject, module=module, rebuild=rebuild, private=False)


def _has_lazy(module: nn.Module) -> bool:
    from torch.nn.parameter import is_lazy

    from archscope.analysis.borrow import members

    return any(
        tensor is not None and is_lazy(tensor)
        for part in members(module).values()
        for tensor in chain(part._parameters.values(), part._buffers.values())
    )


def _with_values(subject: Subject, call: NetworkCall) -> nn.Module:
    import torch

    from archscope.analysis import borrow

    assert subject.rebuild is not None, "`materialised` has seen to it"
    module = subject.rebuild()
    lent = borrow.copied(module, call.original(on_meta=False), borrow.with_storage)
    with lent as (network, (args, kwargs)), torch.no_grad():
        network.eval()
        network(*args, **kwargs)
    return network.train(module.training)
