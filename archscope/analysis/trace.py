"""Module + inputs → Analysis: one forward pass, and on request one backward pass, counted.

A dispatch mode sees every operator below autograd, on meta tensors, so nothing is computed.
What `nn.Module.__call__` calls is wrapped for the time of the run to know whose operator it is.
In the backward pass autograd's sequence numbers tell it: a node made while a module ran carries a
number from that time, so no backward hook is needed (they fail on in-place activations).
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from archscope.analysis import dispatch, rules, shapes
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.counting import counting
from archscope.analysis.formulas import sparse
from archscope.analysis.ops import Rule
from archscope.analysis.repeats import Repeats
from archscope.analysis.values.answers import Answers, is_known
from archscope.analysis.values.contents import PLAIN, TABLE, is_meta
from archscope.analysis.values.needed import NoValueError, ValueNeeded
from archscope.analysis.values.tensor import on_the_users_device
from archscope.patterns import matching
from archscope.process import interruptible, patched, patched_here
from archscope.records import Coverage

_DENSE = torch.strided
LIFT = torch.ops.aten.lift_fresh.default
"""What brings a tensor made of numbers into the run; PyTorch calls it a view."""

ACCUMULATE_GRAD = 2**63
"""Sequence numbers from here on belong to gradient accumulation, which no module made."""


class Operator:
    """What the trace knows of one overload, looked up once."""

    __slots__ = (
        "composite", "is_view", "kind", "looked_up", "name", "overload", "rule", "shape", "wanted",
    )  # fmt: skip

    def __init__(self, overload: Any) -> None:
        self.overload = overload
        self.name: str = overload._schema.name
        self.shape = shapes.RULES.get(overload)
        self.is_view: bool = overload.is_view or self.name in rules.VIEWS
        self.looked_up = rules.LOOKED_UP.get(self.name)
        self.wanted = self.name in rules.ASKED_FOR
        self.composite = False
        self.rule: Rule | None = None
        self.kind: rules.OperatorKind = "unknown"
        if self.is_view:
            self.kind = "free"
        elif (found := rules.lookup(self.name)) is not None:
            self.kind, self.rule = found
        elif is_pointwise(overload):
            self.kind, self.rule = "elementwise", rules.ELEMENTWISE["aten::where"]
        else:
            self.composite = overload._can_decompose()


def is_pointwise(overload: Any) -> bool:
    """Whether an operator works element by element.

    PyTorch tags such operators, but not every in-place form of one (`mish_`; in 2.11 `hardtanh_`).
    """
    if torch.Tag.pointwise in overload.tags:
        return True
    namespace, _, name = rules.functional(overload._schema.name).partition("::")
    form = getattr(getattr(torch.ops, namespace), name, None)
    overloads = [] if form is None else map(partial(getattr, form), form.overloads())
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


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
        self._nodes: list[Any] = []
        self.users_device = torch.device(dispatch.run.device or "cpu")

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep the base class from wrapping the handler, which imports the whole compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        operator = self.operators.get(func)
        if operator is None:
            operator = self.operators[func] = Operator(func)
        if operator.composite:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        result = self._answer(func, operator, args, kwargs or {})
        self._observe(operator, args, kwargs or {}, result)
        return result

    def _answer(self, func: Any, operator: Operator, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """The operator's result: from its shape rule, or from the kernel."""
        if not self.on_meta:
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
        self, attention_kernels: Iterable[str] = (), branches: tuple[str, ...] = ()
    ) -> Coverage:
        """How often each operator ran, by the column that it counts in.

        Args:
            attention_kernels: what scaled dot-product attention ran as.
            branches: of which conditions the larger was taken.
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
        )


def _asked_for() -> list[bool]:
    """Of which operands of the forward pass autograd wants the gradient that now runs."""
    node = torch._C._current_autograd_node()
    return [True] * 7 if node is None else [edge is not None for edge, _ in node.next_functions]


def _on_meta(first: Any) -> bool:
    """Whether the argument that decides an operator's device is plain and on meta, or a size."""
    if isinstance(first, (list, tuple)):
        return bool(first) and all(type(item) is int or _on_meta(item) for item in first)
    return type(first) in PLAIN and is_meta(first)


def _bytes(args: Any, kwargs: Mapping[str, Any], result: Any) -> tuple[int, int, int]:
    """Bytes read, written, and newly allocated: each distinct tensor once."""
    inputs = set()
    read = 0
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, Tensor):
            if id(value) not in inputs:
                inputs.add(id(value))
                read += _size(value)
        elif isinstance(value, (list, tuple)):
            for tensor in value:
                if isinstance(tensor, Tensor) and id(tensor) not in inputs:
                    inputs.add(id(tensor))
                    read += _size(tensor)
    if isinstance(result, Tensor):
        size = _size(result)
        return read, size, 0 if id(result) in inputs else size
    written = created = 0
    for value in result if isinstance(result, (list, tuple)) else ():
        if isinstance(value, Tensor):
            size = _size(value)
            written += size
            if id(value) not in inputs:
                created += size
    return read, written, created


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor; of a sparse one, of what it stores."""
    return tensor.nbytes if tensor.layout is _DENSE else sparse.stored_bytes(tensor)


@contextmanager
def observed(log: CallLog, repeats: Repeats | None = None) -> Iterator[None]:
    """Tell `log` when each module call of this thread begins and ends.

    Args:
        log: takes down the calls.
        repeats: knows the blocks that need not be run again; without it every call runs.

    Raises:
        NoValueError: a value is needed that is not known.
        BaseException: whatever else is raised inside.
            The `archscope_call` of either names the innermost call that it came from.
    """
    original: Any = nn.Module._call_impl
    thread = threading.get_ident()

    def observed_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            log.out_of_sight = log.names.get(id(module), log.out_of_sight)
            return original(module, *args, **kwargs)
        call = log.enter(module, _shapes(args if not kwargs else (args, kwargs)))
        try:
            if repeats is None or log.repeating or not module._modules:
                result = original(module, *args, **kwargs)
            else:
                result = repeats.run(call, original, args, kwargs)
            call.output_shapes = _shapes(result)
            return result
        except BaseException:
            log.failed_in = log.failed_in or call
            raise
        finally:
            log.leave(call)

    try:
        with patched([(nn.Module, "_call_impl", observed_call)]), on_the_users_device():
            yield
    except BaseException as error:
        if log.value_needed_in is None:
            error.archscope_call = log.failed_in  # type: ignore[attr-defined]
            raise
        raise _no_value(log.value_needed_in) from error
    if log.value_needed_in is not None:  # whatever the network made of the signal
        raise _no_value(log.value_needed_in)


def _no_value(call: Call) -> NoValueError:
    error = NoValueError("the value of a tensor of which only the shape is known")
    error.archscope_call = call  # type: ignore[attr-defined]
    return error


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


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what `torch.compile` would compile as it is written."""
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled; its import takes seconds
        yield
    else:
        with torch.compiler.set_stance("force_eager"):
            yield


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` from its fused operator, which hides its products."""
    with patched_here([(torch.backends.mha, "get_fastpath_enabled", lambda: False)]):
        yield


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
    countable_once = on_meta and not backward
    repeats = None
    if countable_once:
        repeats = Repeats(log, recorder.ran, recorder.unknown_calls, recorder.answers)
    with (
        unfused_attention(),
        counting(measure=on_trial(log, on_meta), place=lambda: log.current.name) as kernels,
        uncompiled(),
        observed(log, repeats),
        torch.set_grad_enabled(backward),
        recorder,
        interruptible(),
    ):
        outputs = module(*args, **kwargs)
        if inspect.isgenerator(outputs):
            raise TypeError("it returns a generator, which runs after the call")
        if inspect.iscoroutine(outputs):
            outputs.close()
            raise TypeError("it returns a coroutine, which runs after the call")
        if log.out_of_sight is not None:
            raise TypeError(f"{log.out_of_sight} runs in a thread of its own, out of sight")
        if backward:
            run_backward(recorder, outputs)
            del outputs
            recorder.let_graph_go()
        branches = tuple(dispatch.run.branches)
    return log, recorder.coverage(kernels, branches)


class NoGradientError(Exception):
    """No output of the network depends on anything that needs a gradient."""


def run_backward(recorder: Observer, outputs: Any) -> None:
    """Run the backward pass, from ones of every differentiable output.

    Raises:
        NoGradientError: no output needs a gradient.
    """
    targets = [tensor for tensor in _reached(outputs) if tensor.requires_grad]
    if not targets:
        raise NoGradientError("no output needs a gradient")
    recorder.in_backward = recorder.log.repeating = True
    gradients = [torch.empty_like(target) for target in targets]
    torch.autograd.backward(targets, gradients)


def _reached(value: Any) -> Iterator[Tensor]:
    """Every tensor that a result holds, in objects of any class too: distributions, graphs, …"""
    seen: dict[int, Any] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Tensor):
            yield item
            continue
        if id(item) in seen or isinstance(item, _NO_RESULTS) or callable(item):
            continue
        seen[id(item)] = item
        if isinstance(item, Mapping):
            pending += reversed([*item.values()])
        elif isinstance(item, Iterable) and not hasattr(item, "__next__"):
            pending += reversed([*item])
        attributes = [*getattr(item, "__dict__", {}).values()]
        for kind in type(item).__mro__:
            slots = vars(kind).get("__slots__", ())
            names = (slots,) if isinstance(slots, str) else slots
            attributes += [getattr(item, name, None) for name in names]
        pending += reversed(attributes)


_NO_RESULTS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)


def freeze_all_but(module: nn.Module, pattern: str) -> int:
    """Leave `requires_grad` only to the parameters whose name or module a pattern chooses.

    Returns:
        how many parameters stay trainable.
    """
    chosen = {
        parameter
        for name, owner in module.named_modules()
        for own, parameter in owner.named_parameters(name, recurse=False)
        if matching(pattern, own) or matching(pattern, name, type(owner).__name__)
    }
    for parameter in module.parameters():
        parameter.requires_grad_(parameter in chosen and parameter.requires_grad)
    return sum(parameter.requires_grad for parameter in chosen)


def _shapes(value: Any) -> tuple[tuple[int, ...], ...]:
    if type(value) is Tensor:
        return (tuple(value.shape),)
    if type(value) is tuple and len(value) == 1 and type(value[0]) is Tensor:
        return (tuple(value[0].shape),)
    return tuple(tuple(tensor.shape) for tensor in tensors(value))


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings, dataclasses and plain result objects."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))
