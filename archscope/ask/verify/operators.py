"""Every operator of a network with its shapes, by the module that runs it, for verify alone.

A count sums a layer's elementwise work; why another tool's figure differs from it may depend on
single operators, such as bilinear resizing among the activations of one container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archscope.analysis import borrow, dispatch
from archscope.analysis.calls import CallLog
from archscope.analysis.observed import observed, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.operator import Operator as Overload
from archscope.peers.reasons import Argument, Operator
from archscope.process import interruptible

if TYPE_CHECKING:
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject


def operators(subject: Subject, call: NetworkCall) -> dict[str, list[Operator]]:
    """The operators of each module, without those of its children, of one forward pass in eval.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    from archscope.ask.network.runs import executed

    def run(network: nn.Module, arguments: Any, on_meta: bool) -> dict[str, Any]:
        borrow.set_training(network, False)
        return _logged(network, arguments, on_meta)

    return executed(subject, call, run)[0]


def _logged(network: nn.Module, arguments: Any, on_meta: bool) -> dict[str, list[Operator]]:
    calls = CallLog(network, torch._C._autograd._get_sequence_nr)
    log = _Log(calls, on_meta)
    with (
        unfused_attention(),
        torch.set_grad_enabled(dispatch.run.gradients),
        observed(calls),
        log,
        interruptible(),
    ):
        network(*arguments[0], **arguments[1])
    return log.found


class _Log(Observer):  # type: ignore[no-untyped-call]
    """Notes every operator under the innermost open module."""

    def __init__(self, calls: CallLog, on_meta: bool) -> None:
        super().__init__(calls, on_meta)
        self.found: dict[str, list[Operator]] = {}

    def _observe(
        self, operator: Overload, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        if not operator.is_view:
            results = result if isinstance(result, (list, tuple)) else (result,)
            outputs = tuple(tuple(item.shape) for item in results if isinstance(item, Tensor))
            name = operator.name.partition("::")[2]
            found = Operator(name, tuple(map(_described, args)), outputs)
            self.found.setdefault(self.log.current.name, []).append(found)


def _described(argument: Any) -> Argument:
    if isinstance(argument, Tensor):
        return tuple(argument.shape)
    if isinstance(argument, (list, tuple)):
        return tuple(map(_described, argument))
    return argument if isinstance(argument, (int, float, bool, str)) else None
