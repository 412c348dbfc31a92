"""A step of `parallelize_module`: linear layers divided by columns and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from archscope.analysis.borrow import members
from archscope.analysis.calls import CallLog
from archscope.analysis.observed import observed
from archscope.analysis.observer import ACCUMULATE_GRAD
from archscope.collectives.recorder import Cause, Recorder
from archscope.collectives.styles import Style
from archscope.errors import NetworkError

STYLES: dict[Style, Callable[[], ParallelStyle]] = {
    "colwise": ColwiseParallel,
    "rowwise": RowwiseParallel,
}


def require_even(network: nn.Module, styles: Mapping[str, Style], gpus: int) -> None:
    """Refuse layers whose sides the GPUs cannot share.

    Raises:
        NetworkError: naming the first of them.
    """
    modules = members(network)
    for name, style in styles.items():
        side = "out_features" if style == "colwise" else "in_features"
        length = getattr(modules[name], side)
        if length % gpus:
            raise NetworkError(
                f"{gpus} GPUs cannot divide the {length:,} {side} of {name} evenly",
                "choose a number of GPUs that divides them",
            )


def usual(styles: Mapping[str, Style]) -> list[tuple[str, ParallelStyle]]:
    """PyTorch's style of each layer: what enters columns and leaves rows is on every GPU."""
    return [(name, STYLES[style]()) for name, style in styles.items()]


def divide(
    network: nn.Module,
    mesh: DeviceMesh,
    styles: Sequence[tuple[str, ParallelStyle]],
    recorder: Recorder,
) -> None:
    """Give each layer's part to this GPU, and take down how it gets there."""
    for name, style in styles:
        with recorder, recorder.because(Cause(name, "parameters")):
            parallelize_module(network, mesh, {name: style})


class Owners:
    """Whose collective it is: the module that runs, or in the backward pass the one that ran.

    Args:
        network: whose modules.
        sequence: whether the tokens are divided between layers, so that gradients of normalisation
            are summed, which have one side where those of activations have three.
    """

    def __init__(self, network: nn.Module, sequence: bool = False) -> None:
        self.sequence = sequence
        self.log = CallLog(network, torch._C._autograd._get_sequence_nr)

    def __call__(self, recorder: Recorder, tensors: list[Tensor]) -> Cause:
        if recorder.phase != "backward" or len(self.log.stack) > 1:
            return Cause(self.log.current.name, "activations")  # again where checkpointed
        node = torch._C._current_autograd_node()
        number = ACCUMULATE_GRAD if node is None else node._sequence_nr()
        made = self.log.made_node(number).name if number < ACCUMULATE_GRAD else ""
        normalising = self.sequence and tensors[0].ndim == 1
        return Cause(made, f"gradients of {'normalisation' if normalising else 'activations'}")

    def beside(
        self, others: Callable[[Recorder, list[Tensor]], Cause]
    ) -> Callable[[Recorder, list[Tensor]], Cause]:
        """The same where what is issued before the step, or outside of every module, has others."""

        def cause(recorder: Recorder, tensors: list[Tensor]) -> Cause:
            outside = recorder.phase == "forward" and len(self.log.stack) == 1
            if recorder.phase == "start" or outside or not isinstance(tensors[0], FakeTensor):
                return others(recorder, tensors)
            return self(recorder, tensors)

        return cause

    def until(self, loss: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
        """The same loss, after which module calls are those of checkpointed layers."""

        def last(output: Any) -> Tensor:
            value = loss(output)
            self.log.repeating = True
            return value

        return last

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Learn of module calls inside; those of an earlier step were not this one's."""
        self.log.repeating = False
        with observed(self.log):
            yield

    def activation_bytes(
        self, styles: Mapping[str, Style], dtype: torch.dtype | None
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes of the inputs of column-parallel layers, and of the outputs of row-parallel ones.

        Both are full tensors, which every GPU has; from the shapes of the calls that were made.

        Args:
            styles: how layers are divided.
            dtype: in which they compute; that of their weights when `None`.
        """
        sizes: dict[Style, dict[str, int]] = {"colwise": {}, "rowwise": {}}
        for call in self.log.calls:
            style = styles.get(call.name)
            if style is not None:
                shapes = call.input_shapes if style == "colwise" else call.output_shapes
                weight = call.module.weight  # DDP hides it from parameters()
                assert isinstance(weight, Tensor)
                itemsize = weight.itemsize if dtype is None else dtype.itemsize
                size = sum(prod(map(int, shape)) for shape in shapes) * itemsize
                sizes[style][call.name] = sizes[style].get(call.name, 0) + size
        return sizes["colwise"], sizes["rowwise"]


def local(tensor: Tensor) -> Tensor:
    """What this GPU has of a tensor."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor
