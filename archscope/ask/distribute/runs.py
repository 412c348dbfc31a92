"""Which run follows each plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from archscope.ask.distribute.divided import divided
from archscope.ask.distribute.found import Found, Lend
from archscope.ask.distribute.replicated import replicated
from archscope.ask.distribute.sharded import sharded
from archscope.records import ParallelKind

if TYPE_CHECKING:
    from archscope.ask.distribute.plan import ParallelPlan

RUNS: Mapping[ParallelKind, Callable[[Lend, ParallelPlan], Found]] = {
    "ddp": replicated,
    "fsdp": sharded,
    "hsdp": sharded,
    "tp": divided,
    "ddp+tp": divided,
    "fsdp+tp": divided,
    "hsdp+tp": divided,
}
