"""What training or inference will hold in memory, predicted tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from archscope.records.network import InputSpec


@dataclass(frozen=True, slots=True)
class LiveBytes:
    """What is alive in memory right after one operator, by kind.

    Args:
        phase: `forward`, `backward` or `update`.
        layer: name of the module whose operator ran.
        parameters: the weights, in the dtype in which the network runs.
        buffers: running statistics and other tensors that training does not fit.
        optimizer: state of the optimiser, and the float32 master weights where there are.
        input: tensors that the network is called with.
        gradients: of parameters.
        activations: what autograd keeps for the backward pass.
        temporary: all else: results in flight, gradients of activations, recomputed blocks.
        rounding: what the allocator adds to make each tensor a multiple of its granule.
        allowance: for what is not seen on a GPU: its context, workspaces and fragmentation.
    """

    phase: str
    layer: str
    parameters: int = 0
    buffers: int = 0
    optimizer: int = 0
    input: int = 0
    gradients: int = 0
    activations: int = 0
    temporary: int = 0
    rounding: int = 0
    allowance: int = 0

    @property
    def total(self) -> int:
        """What the device must have."""
        return self.allocated + self.allowance

    @property
    def allocated(self) -> int:
        """What the allocator holds: tensors, each rounded."""
        return (
            self.parameters
            + self.buffers
            + self.optimizer
            + self.input
            + self.gradients
            + self.activations
            + self.temporary
            + self.rounding
        )


@dataclass(frozen=True, slots=True)
class SavedBytes:
    """What one module call keeps for the backward pass; a storage counts where it is saved first.

    Args:
        name: dotted path of the module; `loss` for the loss.
        kind: class name.
        call: 0 for the first call of this module.
    """

    name: str
    kind: str
    call: int
    saved_bytes: int


@dataclass(frozen=True)
class MemoryPrediction:
    """Memory of one step, predicted by following the tensors of a run without storage.

    Args:
        mode: `training` (forward, backward, update) or `inference`.
        dtype: of the weights and activations, such as `float32`; `amp` and `amp-bfloat16` for
            float32 weights under autocast.
        optimizer: its name; empty for inference.
        master_weights: whether the optimiser keeps float32 weights beside those of the network.
        device: whose allocator and kernels are meant, `cuda` or `cpu`.
        measures: what the step does to need less, such as `checkpoint layer*`.
        recomputed_macs: multiply-accumulates that checkpointed modules repeat.
        timeline: live bytes after every operator that allocates, in the order of execution.
        saved: activations kept for the backward pass, by layer, in the order of execution.
    """

    model: str
    input: InputSpec
    mode: Literal["training", "inference"]
    dtype: str
    timeline: tuple[LiveBytes, ...]
    saved: tuple[SavedBytes, ...] = ()
    optimizer: str = ""
    master_weights: bool = False
    device: str = "cuda"
    measures: tuple[str, ...] = ()
    recomputed_macs: int = 0
    keywords: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def peak(self) -> LiveBytes:
        """The (first) moment with the most bytes alive."""
        return max(self.timeline, key=lambda moment: moment.total)

    @property
    def peak_bytes(self) -> int:
        return self.peak.total

    @property
    def saved_bytes(self) -> int:
        """What is kept for the backward pass beside parameters, buffers and the network's input."""
        return sum(row.saved_bytes for row in self.saved)
