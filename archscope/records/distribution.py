"""What one step of parallel training moves between GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archscope.records.network import InputSpec

ParallelKind = Literal["ddp", "fsdp", "tp", "fsdp+tp"]
CollectivePhase = Literal["start", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class Collective:
    """One collective that PyTorch issues, as one GPU of its group sees it.

    Args:
        kind: `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast` or `all_to_all`.
        phase: `forward` or `backward` of a step, or `start`, before the first one.
        layer: dotted path of the module that it serves, the last of several; empty for the network.
        content: `parameters`, `gradients`, `activations`, `buffers`, or `agreement` on the order.
        size_bytes: of the full tensor: what is reduced or sent, or what is gathered.
        group: GPUs that take part.
        dtype: of its elements.
        tensors: parameters or buffers that it carries at once.
        first: dotted path of the first module, where it serves several.
    """

    kind: str
    phase: CollectivePhase
    layer: str
    content: str
    size_bytes: int
    group: int
    dtype: str = "float32"
    tensors: int = 1
    first: str = ""

    @property
    def sent_bytes(self) -> float:
        """What each GPU sends at least (Patarasuk and Yuan 2009, theorem 1; Thakur et al. 2005).

        An all-reduce of B bytes among n GPUs sends 2 (n − 1)/n · B, its two halves, a
        reduce-scatter and an all-gather, (n − 1)/n · B each; a broadcast passes B on.
        """
        share = (self.group - 1) / self.group
        times = {"all_reduce": 2 * share, "broadcast": 1.0 if self.group > 1 else 0.0}
        return times.get(self.kind, share) * self.size_bytes


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """What a formula promises of one kind of collective in one pass, beside what is issued.

    Args:
        kind: of the collectives.
        phase: of the step.
        formula: in words.
        expected_bytes: by the formula.
        issued_bytes: by PyTorch.
        reasons: why they differ, with the bytes of each reason; they add up to the difference.
    """

    kind: str
    phase: str
    formula: str
    expected_bytes: int
    issued_bytes: int
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Distribution:
    """Collectives of one step of training on several GPUs, as PyTorch issues them.

    Args:
        plan: `ddp`, `fsdp`, `tp` or `fsdp+tp`.
        gpus: in the job.
        parameter_bytes: of all parameters, each once.
        trainable_bytes: of those that are trained.
        buffer_bytes: of buffers.
        collectives: in the order of issue; `start` before the first step, the others of one step.
        closed_forms: totals beside their formulas.
        divided: GPUs that divide each layer.
    """

    model: str
    input: InputSpec
    plan: ParallelKind
    gpus: int
    parameter_bytes: int
    trainable_bytes: int
    buffer_bytes: int
    collectives: tuple[Collective, ...]
    closed_forms: tuple[ClosedForm, ...] = ()
    divided: int = 1
    keywords: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> tuple[Collective, ...]:
        """The collectives of one step."""
        return tuple(row for row in self.collectives if row.phase != "start")

    @property
    def step_bytes(self) -> int:
        """Bytes of all tensors that a step passes on."""
        return sum(row.size_bytes for row in self.step)

    @property
    def sent_bytes(self) -> float:
        """What each GPU sends in a step at least."""
        return sum(row.sent_bytes for row in self.step)

    def total(self, kind: str, phase: str | None = None) -> int:
        """Bytes of one kind in a step, or in one of its passes."""
        return sum(
            row.size_bytes for row in self.step if row.kind == kind and phase in (None, row.phase)
        )
