"""Every operator of a network with its shapes, by the module that runs it, for verify alone.

A count sums a layer's elementwise work; why another tool's figure parts from it may hang on single
operators, such as bilinear resizing among the activations of one container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from archscope.analysis import borrow
from archscope.analysis.trace import unfused_attention
from archscope.study.reasons import Argument, Operator

if TYPE_CHECKING:
    from archscope.study.analyse import Subject
    from archscope.study.call import NetworkCall


def operators(subject: Subject, call: NetworkCall) -> dict[str, list[Operator]]:
    """The operators of each module, without those of its children, of one forward pass in eval.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    from archscope.study.analyse import executed

    def run(module: nn.Module, arguments: Any, stand_in: borrow.StandIn) -> dict[str, Any]:
        with borrow.borrowed(module, stand_in) as network:
            network.eval()
            return _logged(network, arguments, stand_in is borrow.weightless)

    return executed(subject, call, run)[0]


def _logged(network: nn.Module, arguments: Any, on_meta: bool) -> dict[str, list[Operator]]:
    names = {id(module): name for name, module in borrow.members(network).items()}
    log = _Log(on_meta)

    def enter(module: nn.Module) -> None:
        prefix = f"{log.open[-1]}." if log.open[-1] else ""
        log.open.append(names.get(id(module), f"{prefix}<{type(module).__name__}>"))

    def leave(module: nn.Module) -> None:
        log.open.pop()

    with unfused_attention(), torch.no_grad(), module_calls(enter, leave), log:
        network(*arguments[0], **arguments[1])
    return log.found


class _Log(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator under the innermost open module."""

    def __init__(self, on_meta: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on_meta = on_meta
        self.open = [""]
        self.found: dict[str, list[Operator]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        try:
            result = func(*args, **keywords)
        except RuntimeError:
            if not self.on_meta:
                raise
            # A mask or position that a module makes without naming a device lies on the CPU.
            result = func(*tree_map(_on_meta, args), **tree_map(_on_meta, keywords))
        if not func.is_view:
            results = result if isinstance(result, (list, tuple)) else (result,)
            outputs = tuple(tuple(item.shape) for item in results if isinstance(item, Tensor))
            name = func._schema.name.partition("::")[2]
            found = Operator(name, tuple(map(_told, args)), outputs)
            self.found.setdefault(self.open[-1], []).append(found)
        return result


def _told(argument: Any) -> Argument:
    if isinstance(argument, Tensor):
        return tuple(argument.shape)
    if isinstance(argument, (list, tuple)):
        return tuple(map(_told, argument))
    return argument if isinstance(argument, (int, float, bool, str)) else None


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


@contextmanager
def module_calls(
    enter: Callable[[nn.Module], None], leave: Callable[[nn.Module], None]
) -> Iterator[None]:
    """Tell when a call of any module begins, and when it ends."""
    handles = (
        register_module_forward_pre_hook(lambda module, inputs: enter(module)),
        register_module_forward_hook(
            lambda module, inputs, output: leave(module), always_call=True
        ),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
