"""Repeated blocks: a block built as an earlier one and called alike is not run a second time.

Its calls are written down from the earlier ones, under its own modules' names.
Only blocks of PyTorch, torchvision, timm and archscope qualify, because the code of these depends
on nothing but the module, its arguments and PyTorch's modes; everything else is run.
Only a forward pass without gradients qualifies: what a gradient costs depends on who else uses
the block's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis.calls import Call, CallLog
from archscope.analysis.likeness import PLAIN, State, is_alike, outlines
from archscope.analysis.values.answers import Answers, is_known
from archscope.analysis.values.contents import is_meta

MOST_RIVALS = 4
"""How many blocks of one outline are kept that differ inside, as Swin's that shift and do not."""


class _IncomparableError(Exception):
    """Something about a block or its call cannot be compared, so the block is run."""


class Start(NamedTuple):
    """A block about to run, and what will tell whether it may serve for others.

    Args:
        key: the block's outline, what it is called with, and PyTorch's modes.
        modules: the block and its parts, in the order of the tree.
        inputs: the tensors that it is called with.
        calls: how many calls the log held, its own included.
        operators: how many operators had run.
        unknown: how many calls had met an operator without a formula.
        reads: how many values had been read.
    """

    key: Any
    modules: list[nn.Module]
    inputs: list[Tensor]
    calls: int
    operators: int
    unknown: int
    reads: int


class Block(NamedTuple):
    """A block that ran.

    Args:
        states: of the block and its parts before the run, in the order of the tree.
        call: its own call.
        below: the calls below, each with the place of its module in the tree.
        operators: where they stand among all that ran.
        returned: what to make in place of its result.
    """

    states: list[State]
    call: Call
    below: list[tuple[int, Call]]
    operators: slice
    returned: Any


class Repeats:
    """The blocks that one run has seen.

    Args:
        log: the run's calls.
        operators: every operator that was credited, in order.
        unknown: calls that met an operator without a formula; their blocks are always run.
        answers: know how often a value was read; a block that reads one is always run.
    """

    def __init__(
        self, log: CallLog, operators: list[Any], unknown: Mapping[str, None], answers: Answers
    ) -> None:
        self.log = log
        self.answers = answers
        self.operators = operators
        self.unknown = unknown
        self.blocks: dict[Any, list[Block]] = {}
        self.outlines = {} if _any_global_hook() else outlines(log.members.values())

    def run(
        self, call: Call, forward: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        """What a block returns: written down from an equal block's calls, or run.

        Args:
            call: the block's call, just entered in the log.
            forward: runs the module that it is given first.
            args: what the block is called with.
            kwargs: likewise.
        """
        start = self._start(call.module, args, kwargs)
        if start is None:
            return forward(call.module, *args, **kwargs)
        for block in self.blocks.get(start.key, ()):
            if all(map(is_alike, block.states, start.modules)):
                return self._write_down(call, block, start.modules)
        states = [State(module) for module in start.modules]
        result = forward(call.module, *args, **kwargs)
        self._remember(call, start, states, result)
        return result

    def _start(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> Start | None:
        """What decides the cost of a block's call; `None` where it must be run and forgotten."""
        outline = self.outlines.get(id(module))
        if outline is None or torch.is_grad_enabled():
            return None
        inputs: list[Tensor] = []
        try:
            called_with = _arguments((args, *kwargs.items()), inputs)
        except _IncomparableError:
            return None
        modules: list[nn.Module] = []
        _list_tree(module, modules)
        identities = set(map(id, modules))
        if len(identities) < len(modules) or not identities <= self.log.names.keys():
            return None  # a part in two places would be ambiguous
        if len({tensor.untyped_storage()._cdata for tensor in inputs}) < len(inputs):
            return None
        modes = (
            torch.get_default_dtype(),
            torch._C._len_torch_dispatch_stack(),
            torch._C._len_torch_function_stack(),
            torch.is_autocast_enabled("cpu"),
            torch.is_autocast_enabled("cuda"),
        )
        return Start(
            (outline, called_with, modes),
            modules,
            inputs,
            len(self.log.calls),
            len(self.operators),
            len(self.unknown),
            self.answers.reads,
        )

    def _write_down(self, call: Call, block: Block, modules: list[nn.Module]) -> Any:
        call.copy_work(block.call)
        deeper = call.depth - block.call.depth
        for place, earlier in block.below:
            self.log.repeat(earlier, modules[place], earlier.depth + deeper)
        self.operators.extend(self.operators[block.operators])
        with _disable_current_modes():  # nobody's work
            return _made(block.returned)

    def _remember(self, call: Call, start: Start, states: list[State], result: Any) -> None:
        """Keep a block unless it changed itself, met or returned values, or met the unknown."""
        if len(self.unknown) > start.unknown or self.answers.reads > start.reads:
            return
        if not all(state.holds() for state in states):
            return
        try:
            returned = _returned(result, {t.untyped_storage()._cdata for t in start.inputs})
        except _IncomparableError:
            return
        places = {id(module): place for place, module in enumerate(start.modules)}
        below = self.log.calls[start.calls :]
        if any(id(inner.module) not in places for inner in below):
            return
        block = Block(
            states,
            call,
            [(places[id(inner.module)], inner) for inner in below],
            slice(start.operators, len(self.operators)),
            returned,
        )
        rivals = self.blocks.setdefault(start.key, [])
        if len(rivals) < MOST_RIVALS:
            rivals.append(block)


def _any_global_hook() -> bool:
    return bool(nn.modules.module._has_any_global_hook())  # type: ignore[no-untyped-call]


def _arguments(value: Any, tensors: list[Tensor]) -> Any:
    """What a block is called with: plain values, tensors on meta by their shapes."""
    kind = type(value)
    if kind is Tensor:
        if not is_meta(value) or value.is_inference():
            raise _IncomparableError
        tensors.append(value)
        return value.shape, value.stride(), value.dtype
    if kind in (tuple, list):
        return kind, *[_arguments(item, tensors) for item in value]
    if kind in PLAIN:
        return kind, value
    raise _IncomparableError


def _list_tree(module: nn.Module, found: list[nn.Module]) -> None:
    """Append a module and its parts, each as often as it occurs in the tree."""
    found.append(module)
    for child in module._modules.values():
        if child is not None:
            _list_tree(child, found)


class _Made(NamedTuple):
    """A tensor that a block makes."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


def _returned(value: Any, taken: set[int]) -> Any:
    """What to make in place of a block's result: tensors of its own, alone or in a tuple.

    Args:
        value: the result.
        taken: storages of the inputs and of earlier parts of the result.
    """
    if type(value) is Tensor and is_meta(value) and not is_known(value):
        storage = value.untyped_storage()._cdata
        if storage in taken:
            raise _IncomparableError
        taken.add(storage)
        return _Made(value.shape, value.stride(), value.dtype)
    if type(value) is tuple and value:
        return tuple(None if item is None else _returned(item, taken) for item in value)
    raise _IncomparableError


def _made(returned: Any) -> Any:
    if isinstance(returned, _Made):
        return torch.empty_strided(
            returned.shape, returned.stride, dtype=returned.dtype, device="meta"
        )
    return None if returned is None else tuple(map(_made, returned))
