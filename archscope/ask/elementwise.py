"""A network → its elementwise work operator by operator, for explain alone.

A record sums a call's elementwise work; a second run says which operators of `forward` do it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from archscope.saved.record import Saved

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.elementwise import Runs
    from archscope.ask.target import Target
    from archscope.records import Analysis


def elementwise_of(target: Target | Saved, analysis: Analysis) -> Callable[[], Runs] | None:
    """How to list the elementwise operators of each call: by another run of the network.

    Args:
        target: the network with its call; a saved record cannot be run.
        analysis: how it was counted, with a backward pass or without.
    """
    if isinstance(target, Saved):
        return None
    return partial(_elementwise_runs, target, analysis.total.macs_backward is not None)


def _elementwise_runs(target: Target, gradients: bool) -> Runs:
    """The elementwise operators of each call, without those of its children.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    import torch

    from archscope.analysis import borrow, elementwise
    from archscope.ask.network.runs import executed

    def run(network: nn.Module, arguments: Any, on_meta: bool) -> Runs:
        borrow.set_training(network, False)
        torch.default_generator.manual_seed(0)  # as for the count
        args, kwargs = arguments
        return elementwise.run(network, args, kwargs, gradients=gradients, on_meta=on_meta)

    return executed(*target.called(), run)[0]
