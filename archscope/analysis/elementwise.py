"""Module + inputs → every elementwise operator of one forward pass, by the call that runs it.

Where `trace.py` adds up what a call works on elements, this lists its operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archscope.analysis import dispatch, rules, trace
from archscope.analysis.calls import CallLog
from archscope.analysis.counting import counting
from archscope.analysis.observed import observed, uncompiled, unfused_attention
from archscope.analysis.operator import Operator
from archscope.process import interruptible
from archscope.records import Elementwise

Runs = Mapping[tuple[str, int], list[Elementwise]]
"""By the name of a layer and the number of its call."""


def run(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    gradients: bool,
    on_meta: bool,
) -> Runs:
    """Run a borrowed module once and list its elementwise operators.

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        gradients: whether autograd records, as it does before a backward pass.
        on_meta: whether shape rules may answer for the kernels.

    Raises:
        Exception: whatever the module raises.
    """
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    recorder = _Recorder(log, on_meta)
    with (
        unfused_attention(),
        counting(measure=trace.on_trial(log, on_meta), place=lambda: log.current.name),
        uncompiled(),
        observed(log),
        torch.set_grad_enabled(gradients or dispatch.run.gradients),
        recorder,
        interruptible(),
    ):
        module(*args, **kwargs)
    return recorder.found


class _Recorder(trace.Recorder):  # type: ignore[no-untyped-call]
    """Lists what the count adds up."""

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__(log, on_meta)
        self.found: dict[tuple[str, int], list[Elementwise]] = defaultdict(list)

    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        call = self.log.current
        before = call.forward.elementwise
        super()._observe(operator, args, kwargs, result)
        operations = call.forward.elementwise - before
        if operations:
            name = rules.functional(operator.name).partition("::")[2].strip("_")
            self.found[call.name, call.index].append(
                Elementwise(name, _shape(args), _shape((result,)), _window(args), operations)
            )


def _shape(values: Any) -> tuple[int, ...]:
    """Of the first tensor, also where it is the first of a list."""
    first = values[0] if values else None
    if isinstance(first, (list, tuple)):
        return _shape(first)
    return tuple(first.shape) if isinstance(first, Tensor) else ()


def _window(args: Any) -> tuple[int, ...]:
    """Of pooling, whose operators have it after the tensor."""
    given = args[1] if len(args) > 1 else ()
    sides = isinstance(given, (list, tuple)) and all(type(side) is int for side in given)
    return tuple(given) if sides else ()
