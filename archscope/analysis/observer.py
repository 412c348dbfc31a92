"""A dispatch mode that sees every operator below autograd, and knows whose it is.

In the backward pass autograd's sequence numbers tell it: a node made while a module ran carries a
number from that time, so no backward hook is needed (they fail on in-place activations).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archscope.analysis import dispatch, jagged
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.operator import Operator
from archscope.analysis.values.answers import Answers, is_known
from archscope.analysis.values.contents import PLAIN, is_meta
from archscope.analysis.values.known import TABLE
from archscope.analysis.values.needed import ValueNeeded

LIFT = torch.ops.aten.lift_fresh.default
"""What brings a tensor made of numbers into the run; PyTorch calls it a view."""

READ = torch.ops.aten._local_scalar_dense.default

TRACE = torch._C._TorchDispatchModeKey.PROXY
"""Of a trace that the network makes, as `torch.func.linearize` does; it is below this mode, and
must see each operator itself, to run it later."""

ACCUMULATE_GRAD = 2**63
"""Sequence numbers from here on belong to gradient accumulation, which no module made."""


class Observer(TorchDispatchMode, ABC):  # type: ignore[no-untyped-call]
    """Answers every operator below autograd, and knows whose it is; a subclass tells what it did.

    Args:
        log: the module calls.
        on_meta: whether shape rules may answer for the kernels.
    """

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.log = log
        self.on_meta = on_meta
        self.in_backward = False
        self.operators: dict[Any, Operator] = {}
        self.answers = Answers()
        self.lock: AbstractContextManager[Any] | None = None  # once the network starts threads
        self._nodes: list[Any] = []

    @property
    def users_device(self) -> torch.device:
        """Where tensors of the run say that they are."""
        kind = dispatch.run.device or dispatch.run.users or "cpu"
        return torch.device(kind) if kind == "cpu" else torch.device(kind, 0)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep the base class from wrapping the handler, which imports the whole compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if self.lock is not None:
            with self.lock:
                return self._dispatched(func, types, args, kwargs or {})
        return self._dispatched(func, types, args, kwargs or {})

    def _dispatched(self, func: Any, types: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if types and jagged.are_jagged(types):
            with self:
                return jagged.unpacked(func, types, args, kwargs)
        operator = self.operators.get(func)
        if operator is None:
            operator = self.operators[func] = Operator(func)
        if operator.composite:
            with self:
                return func.decompose(*args, **kwargs)
        result = self._answer(func, operator, args, kwargs)
        self._observe(operator, args, kwargs, result)
        return result

    def _answer(self, func: Any, operator: Operator, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """The operator's result: from its shape rule, or from the kernel."""
        if not self.on_meta:
            return func(*args, **kwargs)
        if func is not READ and torch._C._get_dispatch_mode(TRACE) is not None:
            return func(*args, **kwargs)
        if operator.shape is not None and _on_meta(args[0]) and not (TABLE and is_known(args[0])):
            result = operator.shape(*args, **kwargs)
            if result is not None:
                return result
        if operator.is_view and func is not LIFT:
            return func(*args, **kwargs)
        try:
            return self.answers.of(func, args, kwargs)
        except ValueNeeded:
            self._missing_value()
            raise

    def read(self, tensor: Tensor) -> Tensor:
        """A tensor with its values, never to be written to.

        Raises:
            ValueNeeded: they are not known.
        """
        try:
            return self.answers.read(tensor)
        except ValueNeeded:
            self._missing_value()
            raise

    def need_value(self) -> NoReturn:
        """Stop the run, which goes on with values.

        Raises:
            ValueNeeded: always.
        """
        self._missing_value()
        raise ValueNeeded

    def _missing_value(self) -> None:
        """Note who asked, should the network catch what is raised."""
        self.log.value_needed_in = self.log.value_needed_in or self.log.current

    @abstractmethod
    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Take down what an operator did."""

    def _owner(self) -> tuple[Call, bool]:
        """The module call to credit, and whether the work is part of the backward pass."""
        log = self.log
        if not self.in_backward:
            return log.stack[-1], False
        if len(log.stack) > 1:  # a checkpointed block runs its forward pass again
            return log.current.credited, True
        node = torch._C._current_autograd_node()
        if node is not None:
            self._nodes.append(node)
            number = node._sequence_nr()
            if number < ACCUMULATE_GRAD:
                log.last_owner = log.made_node(number)
        return log.last_owner, True

    def let_graph_go(self) -> None:
        """Free autograd's graph from its outputs on, which nobody may hold any more.

        A node that Python has seen frees the next one inside its own end: in a graph of 50,000 that
        is more than a stack holds.
        """
        self._nodes.reverse()
        while self._nodes:
            self._nodes.pop()


_SIZES = frozenset({int})


def _on_meta(first: Any) -> bool:
    """Whether the argument that decides an operator's device is plain and on meta, or a size."""
    if isinstance(first, (list, tuple)):
        return bool(first) and (_SIZES.issuperset(map(type, first)) or all(map(_on_meta, first)))
    return type(first) in PLAIN and is_meta(first)
