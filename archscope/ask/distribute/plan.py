"""How training is divided among GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from archscope.ask.memory.setting import OPTIMIZERS
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import ParallelKind

PLANS: dict[ParallelKind, str] = {
    "ddp": "DistributedDataParallel",
    "fsdp": "fully_shard",
    "tp": "parallelize_module",
    "fsdp+tp": "fully_shard and parallelize_module",
}
"""Each plan, and PyTorch's name for what runs it."""

STYLES = ("colwise", "rowwise")

MOST_GPUS = 2**16


@dataclass(frozen=True)
class ParallelPlan:
    """How training is divided.

    Args:
        kind: one of `PLANS`.
        gpus: in the job.
        wrap: pattern of the modules that `fully_shard` gathers each by itself; the repeated blocks
            when `None`.
        reshard_after_forward: as for `fully_shard`: blocks drop gathered parameters until the
            backward pass.
        tp: GPUs that divide each layer under `fsdp+tp`; under `tp` all of them do.
        optimizer: of the predicted memory, as for `archscope memory`.
        on: GPU whose time is predicted; none when `None`.
        styles: patterns of linear layers and how each is divided, one of `STYLES`; those that the
            network is known by when empty.

    Raises:
        ArchscopeError: an unknown plan, a number of GPUs that is none, or what decides nothing
            under this plan.
    """

    kind: ParallelKind
    gpus: int
    wrap: str | None = None
    reshard_after_forward: bool = True
    tp: int | None = None
    styles: tuple[tuple[str, str], ...] = ()
    optimizer: str = "adamw"
    on: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in PLANS:
            raise ArchscopeError(
                parameter("plan", self.kind), "is unknown", f"use one of {', '.join(PLANS)}"
            )
        if not 2 <= self.gpus <= MOST_GPUS:
            raise ArchscopeError(
                parameter("gpus", self.gpus),
                "is not a number of GPUs that share a step",
                f"give 2 to {MOST_GPUS:,}",
            )
        self._check_heeded()
        if self.kind == "fsdp+tp":
            self._check_groups()
        if self.optimizer not in OPTIMIZERS:
            raise ArchscopeError(
                parameter("optimizer", self.optimizer),
                "is unknown",
                f"use one of {', '.join(OPTIMIZERS)}",
            )
        for pattern, style in self.styles:
            if style not in STYLES:
                raise ArchscopeError(
                    parameter("style", f"{pattern}={style}"),
                    f"{style!r} is unknown",
                    f"use {' or '.join(STYLES)}",
                )

    def _check_heeded(self) -> None:
        sharded, divided = "fsdp" in self.kind, "tp" in self.kind
        for name, value, heeded, where in (
            ("wrap", self.wrap, sharded, "fsdp"),
            ("reshard_after_forward", None if self.reshard_after_forward else False, sharded,
             "fsdp"),
            ("tp", self.tp, self.kind == "fsdp+tp", "fsdp+tp"),
            ("style", "=".join(self.styles[0]) if self.styles else None, divided, "tp"),
        ):  # fmt: skip
            if value is not None and not heeded:
                raise ArchscopeError(
                    parameter(name, value),
                    f"has no effect under {self.kind}",
                    f"use it with {parameter('plan', where)}",
                )

    def _check_groups(self) -> None:
        if self.tp is None:
            raise ArchscopeError(
                parameter("tp"), "is needed: how many GPUs divide a layer?",
                f"give the GPUs of a node, as {parameter('tp', 8)}",
            )  # fmt: skip
        if self.tp < 2 or self.gpus % self.tp or self.gpus == self.tp:
            raise ArchscopeError(
                parameter("tp", self.tp),
                f"does not divide {self.gpus:,} GPUs into groups",
                "give a proper divisor of them from 2",
            )

    @property
    def divided(self) -> int:
        """GPUs that divide each layer."""
        return self.gpus if self.kind == "tp" else self.tp or 1

    @property
    def sharded(self) -> int:
        """GPUs that work on samples of their own."""
        return self.gpus // self.divided
