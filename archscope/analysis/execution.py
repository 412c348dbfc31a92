"""Module + inputs → Execution: every operator of one step with its tensors, on meta.

Where `trace.py` adds up a layer's work, this keeps each operator by itself, with the shapes, the
order in memory and the identity of its tensors: the time of a kernel depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archscope.analysis import dispatch, images, trace
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.counting import counting
from archscope.analysis.eager_attention import eager_attention
from archscope.analysis.gradients import run_backward
from archscope.analysis.nested import tensors
from archscope.analysis.observed import observed, uncompiled, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.operator import Operator, is_pointwise
from archscope.analysis.replay import Replays
from archscope.process import interruptible, patched_here
from archscope.records import Execution, LayerName, Operand, OperatorRun
from archscope.records.execution import Argument, Role


class _Recorder(Observer):  # type: ignore[no-untyped-call]
    """Takes down every operator; storages are held until the end, so that none is numbered twice.

    Args:
        log: the module calls.
        on_meta: whether shape rules may answer for the kernels.
    """

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__(log, on_meta)
        self.runs: list[tuple[Call, OperatorRun]] = []
        self._numbers: dict[int, int] = {}
        self._roles: dict[int, Role] = {}
        self._held: list[Any] = []
        self._arranged: dict[Any, tuple[tuple[int, ...], str, int, tuple[int, ...], int]] = {}

    def assign(self, tensor: Tensor, role: Role) -> None:
        """Say what the memory of a tensor holds before the run."""
        self._roles[self.number(tensor)] = role

    def number(self, tensor: Tensor) -> int:
        """The number of a tensor's memory within the run."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._held.append(storage)
        return number

    def _answer(self, func: Any, operator: Operator, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """As a GPU's: its convolutions answer in the order of their input or weight.

        The meta kernel of convolution always answers contiguously.
        """
        result = super()._answer(func, operator, args, kwargs)
        return images.ordered(func, args, result) if self.on_meta else result

    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        if operator.is_view:
            return
        call, backward = self._owner()
        if not backward:  # known where the run is refused for memory
            made = result if isinstance(result, (list, tuple)) else (result,)
            call.activation_bytes += sum(
                trace.size_of(item) for item in made if isinstance(item, Tensor)
            )
        inputs: list[Operand] = []
        arguments: list[Argument] = []
        for value in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(value, Tensor):
                inputs.append(self._operand(value))
            elif isinstance(value, (list, tuple)):
                tensors = [item for item in value if isinstance(item, Tensor)]
                inputs += map(self._operand, tensors)
                if not tensors:
                    arguments.append(tuple(map(_plain, value)))
            else:
                arguments.append(_plain(value))
        results = result if isinstance(result, (list, tuple)) else (result,)
        outputs = tuple(self._operand(item) for item in results if isinstance(item, Tensor))
        macs = 0
        if operator.kind == "counted" and operator.rule is not None:
            given = {key: value for key, value in kwargs.items() if key != "out"}
            macs = operator.rule(*args, out=result, **given).cost.macs
        run = OperatorRun(
            operator.name.removeprefix("aten::"),
            -1,
            "backward" if backward else "forward",
            tuple(inputs),
            outputs,
            tuple(arguments),
            macs,
            operator.kind != "unknown",
            _works_by_element(operator.overload),
        )
        self.runs.append((call, run))

    def _operand(self, tensor: Tensor) -> Operand:
        number = self.number(tensor)
        role = self._roles.get(number, "activation")
        key = tensor.shape, tensor.stride(), tensor.dtype
        found = self._arranged.get(key)
        if found is None:
            dtype = str(tensor.dtype).removeprefix("torch.")
            ordered = _ordered(tensor.shape, tensor.stride())
            found = self._arranged[key] = (tuple(tensor.shape), dtype, *ordered)
        shape, dtype, elements, axes, row = found
        return Operand(number, shape, dtype, role, elements, axes, row)


def _ordered(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, tuple[int, ...], int]:
    """Distinct elements, axes by their order in memory, and elements in a row; see `Operand`."""
    if 0 in shape:
        return 0, (), 0
    real = [axis for axis, side in enumerate(shape) if side > 1 and strides[axis]]
    elements = prod(shape[axis] for axis in real)
    axes = tuple(sorted(real, key=lambda axis: -strides[axis]))
    row = 1
    for axis in reversed(real):
        if strides[axis] != row:
            break
        row *= shape[axis]
    return elements, () if list(axes) == real else axes, row


_works_by_element = cache(is_pointwise)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool, str)) else None


@contextmanager
def attention_written_out() -> Iterator[None]:
    """Run scaled dot-product attention as two products and a softmax, each in memory."""
    with patched_here([(F, "scaled_dot_product_attention", eager_attention)]):
        yield


def run(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    backward: bool,
    on_meta: bool,
    fused: bool,
) -> Execution:
    """Run a borrowed module once and take down its operators.

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        backward: also run the backward pass, from ones of every differentiable output.
        on_meta: whether shape rules may answer for the kernels.
        fused: whether scaled dot-product attention is one kernel, as PyTorch 2.0 and later have it.

    Raises:
        Exception: whatever the module raises.
        NoGradientError: `backward` where no output needs a gradient.
    """
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    recorder = _Recorder(log, on_meta)
    parameters = list(module.parameters())
    before: dict[Role, Iterable[Tensor]] = {
        "parameter": parameters,
        "buffer": module.buffers(),
        "input": tensors((args, kwargs)),
    }
    for role, owned in before.items():
        for tensor in owned:
            recorder.assign(tensor, role)
    records = backward or dispatch.run.gradients
    countable_once = on_meta and not records
    replays = (
        Replays(log, recorder.runs, recorder.number, recorder.answers) if countable_once else None
    )
    with (
        unfused_attention(),
        counting(measure=trace.on_trial(log, on_meta)) if fused else attention_written_out(),
        uncompiled(),
        observed(log, replays),
        torch.set_grad_enabled(records),
        recorder,
        interruptible(),
    ):
        outputs = module(*args, **kwargs)
        if backward:
            run_backward(recorder, outputs)
            del outputs
            recorder.let_graph_go()
    return _execution(parameters, log, recorder)


def _execution(parameters: Sequence[nn.Parameter], log: CallLog, recorder: _Recorder) -> Execution:
    places = {id(call): place for place, call in enumerate(log.calls)}
    layers = tuple(
        LayerName(call.name, type(call.module).__name__, call.index) for call in log.calls
    )
    runs = tuple(
        [OperatorRun(run.name, places.get(id(call), 0), *run[2:]) for call, run in recorder.runs]
    )
    trained = [p.numel() for p in parameters if p.requires_grad]
    frozen = sum(p.numel() for p in parameters if not p.requires_grad)
    return Execution(runs, layers, tuple(trained), frozen)
