"""Every operator of one run with its tensors: what a prediction of time starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["activation", "parameter", "buffer", "input"]

Phase = Literal["forward", "backward"]

Argument = int | float | bool | str | None | tuple[int | float | bool | str | None, ...]


class Operand(NamedTuple):
    """One tensor that an operator reads or writes.

    Args:
        storage: number of its memory within the run; a view has its tensor's.
        shape: its sides.
        dtype: PyTorch's name in the run, which is that of the weights; autocast is not applied.
        role: what its memory holds.
        elements: distinct elements; a side that is only expanded has one.
        axes: its axes from the outermost in memory to the innermost, without sides of 1; empty
            where that is their own order.
        run: neighbouring elements in memory that are neighbours in its last axes, too.
    """

    storage: int
    shape: tuple[int, ...]
    dtype: str
    role: Role
    elements: int
    axes: tuple[int, ...] = ()
    run: int = 0


class OperatorRun(NamedTuple):
    """One run of one operator; views are left out.

    Args:
        name: PyTorch's name without the namespace `aten`, such as `convolution`.
        layer: place of the module call in `Execution.layers`.
        phase: the pass that it is part of.
        inputs: tensors read, lists opened.
        outputs: tensors returned; an in-place operator returns one of its inputs.
        arguments: the other positional arguments, in order.
        macs: multiply-accumulates.
        known: whether the count has a formula for it.
        pointwise: whether it works element by element.
    """

    name: str
    layer: int
    phase: Phase
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    arguments: tuple[Argument, ...]
    macs: int = 0
    known: bool = True
    pointwise: bool = True


class Elementwise(NamedTuple):
    """One run of one operator that works on elements.

    Args:
        name: PyTorch's name without namespace and underscores, such as `relu`.
        read: shape of the first tensor read.
        result: shape of the first tensor returned.
        window: sides of a pooling's window; empty for other operators.
        operations: as counted in the elementwise column.
    """

    name: str
    read: tuple[int, ...]
    result: tuple[int, ...]
    window: tuple[int, ...]
    operations: int


class LayerName(NamedTuple):
    """A module call: dotted path, class name, and 0 for its first call."""

    name: str
    kind: str
    call: int


@dataclass(frozen=True)
class Execution:
    """The operators of one step in the order in which they run.

    Args:
        runs: of the forward pass, then of the backward pass where there is one.
        layers: the module calls that `OperatorRun.layer` counts.
        parameter_sizes: elements of every trainable parameter, for the optimiser.
        frozen_elements: elements of the parameters that are not trained.
    """

    runs: tuple[OperatorRun, ...]
    layers: tuple[LayerName, ...]
    parameter_sizes: tuple[int, ...] = ()
    frozen_elements: int = 0

    @property
    def trained(self) -> bool:
        """Whether there is a backward pass, after which the weights are updated."""
        return bool(self.runs) and self.runs[-1].phase == "backward"
