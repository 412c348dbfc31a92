"""Repeated blocks: a block built as an earlier one and called alike is not run a second time.

Its calls are written down from the earlier ones, under its own modules' names.
Only blocks of PyTorch, torchvision, timm and archscope qualify, because the code of these depends
on nothing but the module, its arguments and PyTorch's modes; everything else is run.
Only a forward pass without gradients qualifies: what a gradient costs depends on who else uses
the block's input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from operator import is_
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

from archscope.analysis.calls import Call, CallLog
from archscope.analysis.values.answers import Answers, is_known
from archscope.analysis.values.contents import is_meta

KNOWN_CODE = ("torch.nn.modules.", "torchvision.", "timm.", "archscope.zoo.")
"""Where the classes come from whose forward pass keeps no state outside its module."""

MOST_RIVALS = 4
"""How many blocks of one outline are kept that differ inside, as Swin's that shift and do not."""

_UNUSED_IN_EVALUATION = {"StochasticDepth": "p", "DropPath": "drop_prob"}
"""The probability of skipping a block, which differs from block to block."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HELD = ("_parameters", "_buffers", "_modules")

_LOOKED_AT = frozenset(
    (
        *_HOOKS,
        *_HELD,
        "_non_persistent_buffers_set",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks_with_kwargs",
        "_is_full_backward_hook",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    )
)
"""Attributes that are compared on their own, or that no forward pass depends on."""

_PLAIN = (bool, int, float, str, type(None), torch.dtype)
_CODE = (type, FunctionType, BuiltinFunctionType)


class _IncomparableError(Exception):
    """Something about a block or its call cannot be compared, so the block is run."""


class _Start(NamedTuple):
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


class _Block(NamedTuple):
    """A block that ran.

    Args:
        states: of the block and its parts before the run, in the order of the tree.
        call: its own call.
        below: the calls below, each with the place of its module in the tree.
        operators: where they stand among all that ran.
        returned: what to make in place of its result.
    """

    states: list[_State]
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
        self.blocks: dict[Any, list[_Block]] = {}
        self.outlines = {} if _any_global_hook() else _outlines(log.members.values())

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
            if all(map(_is_alike, block.states, start.modules)):
                return self._write_down(call, block, start.modules)
        states = [_State(module) for module in start.modules]
        result = forward(call.module, *args, **kwargs)
        self._remember(call, start, states, result)
        return result

    def _start(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> _Start | None:
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
        )
        return _Start(
            (outline, called_with, modes),
            modules,
            inputs,
            len(self.log.calls),
            len(self.operators),
            len(self.unknown),
            self.answers.reads,
        )

    def _write_down(self, call: Call, block: _Block, modules: list[nn.Module]) -> Any:
        call.copy_work(block.call)
        deeper = call.depth - block.call.depth
        for place, earlier in block.below:
            self.log.repeat(earlier, modules[place], earlier.depth + deeper)
        self.operators.extend(self.operators[block.operators])
        with _disable_current_modes():  # nobody's work
            return _made_anew(block.returned)

    def _remember(self, call: Call, start: _Start, states: list[_State], result: Any) -> None:
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
        block = _Block(
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


def _outlines(modules: Iterable[nn.Module]) -> dict[int, int]:
    """A number for each block beside one of the same outline in the same container.

    A cheap look that spares the blocks of a network that repeats none the careful one.
    """
    numbers: dict[int, int] = {}
    for parent in modules:
        groups: dict[Any, list[int]] = {}
        for block in parent._modules.values():
            if block is not None and block._modules:
                groups.setdefault(_outline(block), []).append(id(block))
        for group in groups.values():
            if len(group) > 1:
                numbers.update(dict.fromkeys(group, len(numbers)))
    return numbers


def _outline(block: nn.Module) -> Any:
    """Its class, with the classes and the weights' shapes of its children."""
    outline: list[Any] = [type(block)]
    for child in block._modules.values():
        weight = None if child is None else child._parameters.get("weight")
        outline.append(type(child))
        outline.append(None if weight is None or is_lazy(weight) else weight.shape)
    return tuple(outline)


@cache
def _is_known(kind: type[nn.Module]) -> bool:
    """Whether a class and its way of being called come from code that keeps no other state."""
    return (
        kind.__module__.startswith(KNOWN_CODE)
        and getattr(kind.forward, "__module__", "").startswith(KNOWN_CODE)
        and kind.__call__ is nn.Module.__call__
    )


class _State:
    """What decides a module's forward pass, as it was when this was made."""

    __slots__ = ("attributes", "held", "module")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = module.__dict__.copy()
        self.held = _held(module)

    def holds(self) -> bool:
        """Whether the module is as it was."""
        now = self.module.__dict__
        return (
            self.attributes.keys() == now.keys()
            and all(map(is_, self.attributes.values(), now.values()))
            and all(map(is_, self.held, _held(self.module)))
        )


def _held(module: nn.Module) -> tuple[Any, ...]:
    """The parameters, buffers and children that a module holds now."""
    return (
        *module._parameters.values(),
        *module._buffers.values(),
        *module._modules.values(),
    )


def _is_alike(state: _State, module: nn.Module) -> bool:
    """Whether a module of known code is as another was, in all that a forward pass on meta sees.

    Their children are not looked at.
    """
    kind = type(module)
    before, now = state.attributes, module.__dict__
    if kind is not type(state.module) or before.keys() != now.keys():
        return False
    if not _is_known(kind):  # type: ignore[arg-type]  # a class is hashable
        return False
    for hooks in _HOOKS:
        if now[hooks] or before[hooks]:
            return False
    for names in _HELD:
        if before[names].keys() != now[names].keys():
            return False
    if not all(map(_look_alike, state.held, _held(module))):
        return False
    unused = "" if module.training else _UNUSED_IN_EVALUATION.get(kind.__name__)
    for name, value in before.items():
        other = now[name]
        if value is other and type(value) in _PLAIN:
            continue
        if name not in _LOOKED_AT and name != unused and not _is_same(value, other):
            return False
    return True


def _is_same(value: Any, other: Any) -> bool:
    """Whether two constructor facts are the same; never for what is neither a value nor code."""
    kind = type(value)
    if kind is not type(other):
        return False
    if kind in _PLAIN:
        return bool(value == other)
    if kind in (tuple, list, torch.Size):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if kind is partial:
        return (
            _is_same(value.func, other.func)
            and _is_same(value.args, other.args)
            and _is_same(list(value.keywords.items()), list(other.keywords.items()))
        )
    known = isinstance(value, _CODE) and (value.__module__ or "").startswith(("torch", *KNOWN_CODE))
    return known and value is other


def _look_alike(held: Any, other: Any) -> bool:
    """Whether two parameters or buffers on meta are interchangeable; of children, whether both are.

    Values do not exist on meta.
    """
    if held is None or other is None:
        return held is other
    if isinstance(held, nn.Module):
        return True
    return (
        type(held) is type(other)
        and type(held) in (Tensor, nn.Parameter)
        and is_meta(held)
        and is_meta(other)
        and held.shape == other.shape
        and held.stride() == other.stride()
        and held.dtype == other.dtype
        and held.requires_grad == other.requires_grad
    )


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
    if kind in _PLAIN:
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


def _made_anew(returned: Any) -> Any:
    if isinstance(returned, _Made):
        return torch.empty_strided(
            returned.shape, returned.stride, dtype=returned.dtype, device="meta"
        )
    return None if returned is None else tuple(map(_made_anew, returned))
