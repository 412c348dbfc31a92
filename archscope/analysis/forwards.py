"""Calls of `layer.forward(x)`, which pass `nn.Module.__call__` by: they are calls of the layer too.

Hooks do not run then, as PyTorch has it, but the work is the layer's.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch import nn

from archscope.analysis.calls import CallLog

Direct = Callable[[nn.Module, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Logs the call of a module whose `forward` is given, with the arguments of it."""


def watching(log: CallLog, direct: Direct) -> list[tuple[type, str, Callable[..., Any]]]:
    """Patches of `forward` that see who calls it, for each class of a network's modules.

    Args:
        log: knows the modules, and which of them runs: its own `forward`, and that of a class it
            inherits from, begin no other call.
        direct: what to do instead where another module's is called.
    """

    def seen(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            if (
                module is log.stack[-1].module
                or threading.get_ident() != log.thread
                or id(module) not in log.names
            ):
                return original(module, *args, **kwargs)
            return direct(module, original, args, kwargs)

        return forward

    kinds = {base: None for kind in set(map(type, log.members.values())) for base in kind.__mro__}
    return [
        (kind, "forward", seen(vars(kind)["forward"]))
        for kind in kinds
        if kind is not nn.Module and type(vars(kind).get("forward")) is FunctionType
    ]
