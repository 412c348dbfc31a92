"""A network → its operators in the order in which it runs them, as a profiler would list them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from archscope.analysis import borrow
from archscope.ask.network.runs import executed
from archscope.ask.target import Target
from archscope.measure import events
from archscope.measure.layers import CallRecorder
from archscope.process import interruptible
from archscope.traces import attribution
from archscope.traces.events import Call, Event
from archscope.traces.forward import forward_operators
from archscope.traces.functions import functions_around
from archscope.traces.network import NetworkOperator


def network_operators(network: Target, train: bool) -> list[NetworkOperator]:
    """The operators of one forward pass, each with the module calls around it.

    The network runs without weights under PyTorch's own profiler, so that the names and the
    nesting are those of the trace that it is compared with.

    Raises:
        ArchscopeError: the network fails on this input.
    """

    def run(lent: nn.Module, arguments: Any, on_meta: bool) -> list[NetworkOperator]:
        borrow.set_training(lent, train)
        return _recorded(lent, arguments, train)

    return executed(*network.called(), run)[0]


def _recorded(network: nn.Module, arguments: Any, train: bool) -> list[NetworkOperator]:
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True)
    recorder = CallRecorder(borrow.members(network))
    with torch.set_grad_enabled(train), recorder, profiler as session, interruptible():
        network(*arguments[0], **arguments[1])
    results: Any = session.profiler.kineto_results
    trace = events.read(results.events())
    attribution.attribute(trace)
    holders = _holders(network)
    found = []
    for number, event in enumerate(forward_operators(trace), start=1):
        calls = _calls(event)
        holder = holders.get(calls[-1].name) if calls else None
        functions = _functions(event)
        found.append(
            NetworkOperator(
                event.name, event.shapes, calls, number, functions, holder, event.settings
            )
        )
    return found


def _holders(network: nn.Module) -> dict[str, str]:
    """The module that first holds the weight of each module."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, module in network.named_modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            found[name] = first.setdefault(id(weight), name)
    return found


def _functions(event: Event) -> tuple[Call | None, ...]:
    return tuple(function.owner for function in functions_around(event))


def _calls(event: Event) -> tuple[Call, ...]:
    """The module calls around an operator, outermost first."""
    found: dict[Call, None] = {}
    above: Event | None = event
    while above is not None:
        if above.owner is not None:
            found.setdefault(above.owner)
        above = above.parent
    return tuple(reversed(found))
