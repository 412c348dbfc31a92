"""How training is divided among GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from archscope.ask.memory.setting import OPTIMIZERS
from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import ParallelKind

PLANS: dict[ParallelKind, str] = {
    "ddp": "DistributedDataParallel",
    "fsdp": "fully_shard",
    "hsdp": "fully_shard with replicas",
    "tp": "parallelize_module",
    "ddp+tp": "DistributedDataParallel and parallelize_module",
    "fsdp+tp": "fully_shard and parallelize_module",
    "hsdp+tp": "fully_shard with replicas and parallelize_module",
}
"""Each plan, and PyTorch's name for what runs it."""

STYLES = ("colwise", "rowwise", "colwise_gather_output")
"""As configurations of transformers call them."""

UNFOLLOWED = {
    ("pp", "pipeline"): "a pipeline's stage waits for tensors of other ranks, which a fake process "
    "group never sends",
    ("ep", "moe"): "which expert gets a token depends on values, which fake tensors do not have",
    ("cp", "context"): "PyTorch's ring attention has kernels of a GPU alone",
}
"""Kinds of parallel training that no plan follows, and why."""

SEQUENCE = ("sp", "sequence")
"""What divides tokens, which is an option of a plan that divides layers."""

DTYPES = ("float32", "bfloat16", "float16")

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
        tp: GPUs that divide each layer beside another kind; under `tp` all of them do.
        optimizer: of the predicted memory, as for `archscope memory`.
        on: GPU whose time is predicted; none when `None`.
        replicas: groups under `hsdp` that each hold the parameters once.
        dtype: in which `fully_shard` gathers parameters and computes; their own when `None`.
        reduce_dtype: in which it reduces gradients; as `dtype` when `None`.
        sequence: whether GPUs that divide layers also divide the tokens between them.
        styles: patterns of layers and how each is divided, one of `STYLES`; those that the
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
    replicas: int | None = None
    dtype: str | None = None
    reduce_dtype: str | None = None
    sequence: bool = False

    def __post_init__(self) -> None:
        self._check_kind()
        if not isinstance(self.gpus, int) or not 2 <= self.gpus <= MOST_GPUS:
            raise ArchscopeError(
                parameter("gpus", self.gpus),
                "is not a number of GPUs that share a step",
                f"give 2 to {MOST_GPUS:,}",
            )
        self._check_heeded()
        if self.kind.endswith("+tp"):
            self._check_groups("tp", self.tp, self.gpus, "how many GPUs divide a layer?")
        if self.kind.startswith("hsdp"):
            question = "how many groups hold the parameters?"
            self._check_groups("replicas", self.replicas, self.sharded, question)
        self._check_dtypes()
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
                    f"use one of {', '.join(STYLES)}",
                )

    def _check_kind(self) -> None:
        object.__setattr__(self, "kind", "+".join(sorted(self.kind.split("+"))))
        if self.kind in PLANS:
            return
        parts = set(self.kind.split("+"))
        if parts & set(SEQUENCE):
            remedy = f"use {parameter('plan', 'tp')} with {parameter('sequence_parallel', True)}"
            raise ArchscopeError(
                parameter("plan", self.kind), "goes with tensor parallelism", remedy
            )
        for names, why in UNFOLLOWED.items():
            if parts & set(names):
                raise ArchscopeError(
                    parameter("plan", self.kind), f"cannot be run on fake tensors: {why}",
                    f"use one of {', '.join(PLANS)}",
                )  # fmt: skip
        raise ArchscopeError(
            parameter("plan", self.kind), "is unknown", f"use one of {', '.join(PLANS)}"
        )

    def _check_dtypes(self) -> None:
        for name in ("dtype", "reduce_dtype"):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, full_name(value))
            if getattr(self, name) not in DTYPES:
                raise ArchscopeError(
                    parameter(name, value), "is unknown", f"use one of {', '.join(DTYPES)}"
                )

    def _check_heeded(self) -> None:
        sharded, divided = "sdp" in self.kind, "tp" in self.kind
        for name, value, heeded, where in (
            ("wrap", self.wrap, sharded, "fsdp"),
            ("reshard_after_forward", None if self.reshard_after_forward else False, sharded,
             "fsdp"),
            ("tp", self.tp, self.kind.endswith("+tp"), "fsdp+tp"),
            ("replicas", self.replicas, self.kind.startswith("hsdp"), "hsdp"),
            ("dtype", self.dtype, sharded, "fsdp"),
            ("reduce_dtype", self.reduce_dtype, sharded, "fsdp"),
            ("sequence_parallel", self.sequence or None, divided, "tp"),
            ("style", "=".join(self.styles[0]) if self.styles else None, divided, "tp"),
        ):  # fmt: skip
            if value is not None and not heeded:
                raise ArchscopeError(
                    parameter(name, value),
                    f"has no effect under {self.kind}",
                    f"use it with {parameter('plan', where)}",
                )

    def _check_groups(self, name: str, groups: int | None, gpus: int, question: str) -> None:
        if groups is None:
            raise ArchscopeError(
                parameter(name), f"is needed: {question}", f"give it, as {parameter(name, 8)}"
            )
        if groups < 2 or gpus % groups or gpus == groups:
            raise ArchscopeError(
                parameter(name, groups),
                f"does not divide {gpus:,} GPUs into groups",
                "give a proper divisor of them from 2",
            )

    @property
    def divided(self) -> int:
        """GPUs that divide each layer."""
        return self.gpus if self.kind == "tp" else self.tp or 1

    @property
    def sharded(self) -> int:
        """GPUs, or groups that divide a layer, that work on samples of their own."""
        return self.gpus // self.divided

    @property
    def sharing(self) -> int:
        """GPUs that share the parameters of one replica."""
        return self.sharded // (self.replicas or 1)
