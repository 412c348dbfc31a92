"""Module + inputs → Analysis: one forward pass, and on request one backward pass, counted.

A dispatch mode (`observer`) sees every operator below autograd, on meta tensors, so nothing is
computed; `observed` notes which module's call runs.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis import dispatch
from archscope.analysis.calls import CallLog
from archscope.analysis.counting import counting
from archscope.analysis.formulas import sparse
from archscope.analysis.gradients import run_backward
from archscope.analysis.observed import observed, uncompiled, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.operator import Operator
from archscope.analysis.repeats import Repeats
from archscope.analysis.values.contents import PLAIN
from archscope.process import interruptible
from archscope.records import Coverage

_DENSE = torch.strided
_SCALARS = frozenset({bool, int, float, type(None)})


class Recorder(Observer):  # type: ignore[no-untyped-call]
    """Credits every operator's work to the module call that made it; see `Observer`."""

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__(log, on_meta)
        self.ran: list[Operator] = []
        self.unknown_calls: dict[str, None] = {}

    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        if operator.is_view:
            return
        self.ran.append(operator)
        read, written, created = _bytes(args, kwargs, result)
        if operator.looked_up is not None and args[0].layout is torch.strided:
            unread = args[0].numel() - operator.looked_up(*args, out=result)
            read -= unread * args[0].itemsize
        call, backward = self._owner()
        work = call.backward if backward else call.forward
        if not backward:
            call.activation_bytes += created
        work.bytes_read += read
        work.bytes_written += written
        work.operators += 1
        if operator.rule is None:
            self.unknown_calls.setdefault(call.name)
            return
        if "out" in kwargs:  # the caller's own result tensor is `result` already
            kwargs = {key: value for key, value in kwargs.items() if key != "out"}
        if operator.wanted:
            kwargs = {**kwargs, "wanted": _asked_for()}
        tally = operator.rule(*args, out=result, **kwargs)
        work.elementwise += tally.elementwise
        if tally.cost.products:
            work.products.extend(tally.cost.products)

    def coverage(
        self,
        attention_kernels: Iterable[str] = (),
        branches: tuple[str, ...] = (),
        scores: Iterable[tuple[int, int]] = (),
    ) -> Coverage:
        """How often each operator ran, by the column that it counts in.

        Args:
            attention_kernels: what scaled dot-product attention ran as.
            branches: of which conditions the larger was taken.
            scores: of attention behind masks, computed and needed.
        """
        by_kind: dict[str, dict[str, int]] = {
            kind: {} for kind in ("counted", "elementwise", "free", "unknown")
        }
        for operator, times in Counter(self.ran).items():
            group = by_kind[operator.kind]
            group[operator.name] = group.get(operator.name, 0) + times
        return Coverage(
            **{kind: dict(sorted(names.items())) for kind, names in by_kind.items()},
            unknown_layers=tuple(self.unknown_calls),
            attention_kernels=tuple(sorted(attention_kernels)),
            branches=branches,
            attention_scores=tuple(sorted(scores)),
        )


def _asked_for() -> list[bool]:
    """Of which operands of the forward pass autograd wants the gradient that now runs."""
    node = torch._C._current_autograd_node()
    return [True] * 7 if node is None else [edge is not None for edge, _ in node.next_functions]


def _bytes(args: Any, kwargs: Mapping[str, Any], result: Any) -> tuple[int, int, int]:
    """Bytes read, written, and newly allocated: each distinct tensor once."""
    inputs: dict[int, Tensor] = {}
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind in PLAIN or isinstance(value, Tensor):
            inputs[id(value)] = value
        elif (kind is list or kind is tuple) and value and type(value[0]) is not int:
            inputs.update({id(item): item for item in value if isinstance(item, Tensor)})
    read = sum(map(size_of, inputs.values()))
    if isinstance(result, Tensor):
        size = size_of(result)
        return read, size, 0 if id(result) in inputs else size
    written = created = 0
    for value in result if isinstance(result, (list, tuple)) else ():
        if isinstance(value, Tensor):
            size = size_of(value)
            written += size
            if id(value) not in inputs:
                created += size
    return read, written, created


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor; of a sparse one, of what it stores."""
    return tensor.nbytes if tensor.layout is _DENSE else sparse.stored_bytes(tensor)


def on_trial(log: CallLog, on_meta: bool) -> Callable[[Callable[[], Any]], tuple[int, int]]:
    """How to measure a function inside a run whose log and observer are to know nothing of it.

    Args:
        log: of the run.
        on_meta: whether shape rules may answer for the kernels.
    """

    def measure(function: Callable[[], Any]) -> tuple[int, int]:
        meter = Recorder(CallLog(nn.Module(), lambda: 0), on_meta)
        before, log.repeating = log.repeating, True
        try:
            with _disable_current_modes(), torch.no_grad(), meter:
                function()
        finally:
            log.repeating = before
        work = meter.log.current.forward
        return sum(product.value for product in work.products), work.elementwise

    return measure


def run(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    backward: bool,
    on_meta: bool,
) -> tuple[CallLog, Coverage]:
    """Run a borrowed module once and log every call's work.

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        backward: also run the backward pass, from ones of every differentiable output.
        on_meta: whether shape rules may answer for the kernels.

    Raises:
        Exception: whatever the module raises; see `observed`.
        NoGradientError: `backward` where no output needs a gradient.
    """
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    recorder = Recorder(log, on_meta)
    records = backward or dispatch.run.gradients
    countable_once = on_meta and not records
    repeats = None
    if countable_once:
        repeats = Repeats(log, recorder.ran, recorder.unknown_calls, recorder.answers)
    with (
        unfused_attention(),
        counting(measure=on_trial(log, on_meta), place=lambda: log.current.name) as kernels,
        uncompiled(),
        observed(log, repeats),
        torch.set_grad_enabled(records),
        recorder,
        interruptible(),
    ):
        outputs = module(*args, **kwargs)
        if inspect.isgenerator(outputs):
            raise TypeError("it returns a generator, which runs after the call")
        if inspect.iscoroutine(outputs):
            outputs.close()
            raise TypeError("it returns a coroutine, which runs after the call")
        if backward:
            log.require_sight(of_graph=True)
            run_backward(recorder, outputs)
            del outputs
            recorder.let_graph_go()
        branches, scores = tuple(dispatch.run.branches), tuple(dispatch.run.scores)
    return log, recorder.coverage(kernels, branches, scores)
