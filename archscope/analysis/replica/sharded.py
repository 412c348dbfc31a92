"""Modules that `torch.distributed.fsdp.fully_shard` has sharded, copied as they were before it.

It gives a module another class, hooks that gather its parameters, and parameters of which each
process holds a share; a count is of the module with all of them.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from archscope.analysis.replica.graph import Replica
from archscope.analysis.replica.objects import fill_module

_STATE = "__composable_api_state_key"


def is_sharded(kind: type) -> bool:
    """Whether a class of modules is one that `fully_shard` made."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    base = getattr(fsdp, "FSDPModule", None)
    return base is not None and issubclass(kind, base) and kind is not base


def copy_module(copies: Replica, value: nn.Module) -> Any:
    kind = type(value).__mro__[2]  # behind the class that was made, and FSDPModule
    return copies.add(value, object.__new__(kind), _fill)


def _fill(copies: Replica, twin: nn.Module, value: nn.Module) -> None:
    before = object.__new__(type(twin))
    for key, item in vars(value).items():
        if not key.startswith(_STATE):
            before.__dict__[key] = _without_hooks(item) if "hooks" in key else item
    fill_module(copies, twin, before)


def _without_hooks(hooks: Any) -> Any:
    if not isinstance(hooks, dict):
        return hooks
    home = "torch.distributed.fsdp"
    remaining = {k: v for k, v in hooks.items() if not _home(v).startswith(home)}
    return hooks if len(remaining) == len(hooks) else type(hooks)(remaining)


def _home(hook: Any) -> str:
    """The module of whatever a hook belongs to."""
    hook = getattr(hook, "hook", hook)  # as load_state_dict's are wrapped
    return str(getattr(type(getattr(hook, "__self__", None)), "__module__", ""))
