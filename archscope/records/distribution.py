"""What one step of parallel training moves between GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archscope.records.network import InputSpec

ParallelKind = Literal["ddp", "fsdp", "hsdp", "tp", "ddp+tp", "fsdp+tp", "hsdp+tp"]
CollectivePhase = Literal["start", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class Collective:
    """One collective that PyTorch issues, as one GPU of its group sees it.

    Args:
        kind: `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast` or `all_to_all`.
        phase: `forward` or `backward` of a step, or `start`, before the first one.
        layer: dotted path of the module that it serves, the last of several; empty for the network.
        content: `parameters`, `gradients` (or of what), `activations`, `buffers`, or `agreement`.
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
        content: of the collectives, where other formulas are of others of this kind and phase.
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
    content: str = ""

    def covers(self, collective: Collective) -> bool:
        """Whether it is of this collective among others."""
        same = (self.kind, self.phase) == (collective.kind, collective.phase)
        return same and self.content in ("", collective.content)


@dataclass(frozen=True, slots=True)
class HeldMemory:
    """What one GPU holds of a training step, by kind; the largest of each over the step.

    Args:
        sharing: how it is shared out, such as `ZeRO stage 2`.
        gpus: among how many.
        parameters, gradients, optimizer, activations: bytes; of activations those that are saved
            for the backward pass.
        peak_bytes: of all tensors together at the worst moment, rounded as the allocator does,
            with an allowance for what is not seen.
    """

    sharing: str
    gpus: int
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """Predicted seconds of a step on one kind of GPU.

    Args:
        device: its name.
        dtype: in which it works, such as `amp`.
        communication: of all collectives, one after another.
        compute, compute_low, compute_high: of a GPU's own work, and its 80 % interval.
        median_error, most_error: of the collectives' two numbers on held-out measurements: half of
            them and 90 % are within.
        across_nodes: whether groups reach over nodes, where nothing was measured.
        source: of the collectives' numbers.
        fitted_on: the measurements behind `compute`.
    """

    device: str
    dtype: str
    communication: float
    compute: float
    compute_low: float
    compute_high: float
    median_error: float
    most_error: float
    across_nodes: bool
    source: str
    fitted_on: str

    @property
    def hidden(self) -> float:
        """Where every collective runs beside the GPU's own work: the longer of the two."""
        return max(self.compute, self.communication)

    @property
    def exposed(self) -> float:
        """Where the GPU waits for every collective: their sum."""
        return self.compute + self.communication


@dataclass(frozen=True)
class Distribution:
    """Collectives of one step of training on several GPUs, as PyTorch issues them.

    Args:
        plan: `ddp`, `fsdp`, `hsdp`, `tp`, or one of the first three with `+tp`.
        gpus: in the job.
        parameter_bytes: of all parameters, each once.
        trainable_bytes: of those that are trained.
        buffer_bytes: of buffers.
        collectives: in the order of issue; `start` before the first step, the others of one step.
        closed_forms: totals beside their formulas.
        dtype: of the parameters.
        divided: GPUs that divide each layer.
        sequence_parallel: whether they also divide the tokens between divided layers.
        computed_in: dtype of gathered parameters and of the work, where it is not `dtype`.
        replicas: groups that each hold the parameters once, under `hsdp`.
        optimizer: of the predicted memory.
        memory: what a GPU holds, in each way to share it out.
        time: of a step, where a GPU was named.
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
    dtype: str = "float32"
    divided: int = 1
    sequence_parallel: bool = False
    replicas: int = 1
    computed_in: str = ""
    optimizer: str = ""
    memory: tuple[HeldMemory, ...] = ()
    time: StepTime | None = None
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
