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
from torch.distributed.tensor import DTensor, Replicate
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
from archscope.collectives.closed_forms import Divided
from archscope.collectives.recorder import Cause, Recorder
from archscope.collectives.styles import Style
from archscope.errors import NetworkError


def parallel_style(module: nn.Module, style: Style) -> ParallelStyle:
    """PyTorch's style for a layer; indices enter every row of an embedding."""
    if style == "colwise_gather_output":
        return ColwiseParallel(output_layouts=Replicate())
    if style == "colwise":
        return ColwiseParallel()
    return RowwiseParallel(input_layouts=Replicate()) if _embeds(module) else RowwiseParallel()


def _embeds(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding)


def require_even(network: nn.Module, styles: Mapping[str, Style], gpus: int) -> None:
    """Refuse layers whose sides the GPUs cannot share.

    Raises:
        NetworkError: naming the first of them.
    """
    modules = members(network)
    for name, style in styles.items():
        sides = ("num_embeddings", "embedding_dim")
        rows, columns = sides if _embeds(modules[name]) else ("in_features", "out_features")
        side = rows if style == "rowwise" else columns
        length = getattr(modules[name], side)
        if length % gpus:
            raise NetworkError(
                f"{gpus} GPUs cannot divide the {length:,} {side} of {name} evenly",
                "choose a number of GPUs that divides them",
            )


def usual(network: nn.Module, styles: Mapping[str, Style]) -> list[tuple[str, ParallelStyle]]:
    """PyTorch's style of each layer: what enters columns and leaves rows is on every GPU."""
    return [(n, parallel_style(network.get_submodule(n), style)) for n, style in styles.items()]


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

    def activation_bytes(self, styles: Mapping[str, Style], dtype: torch.dtype | None) -> Divided:
        """Bytes of what enters column-parallel layers, and leaves row-parallel ones.

        All are full tensors, which every GPU has; from the shapes of the calls that were made.

        Args:
            styles: how layers are divided.
            dtype: in which they compute; that of their weights when `None`.
        """
        found = Divided({}, {}, {}, {})
        for call in self.log.calls:
            style = styles.get(call.name)
            if style is None:
                continue
            weight = call.module.weight  # DDP hides it from parameters()
            assert isinstance(weight, Tensor)
            itemsize = weight.itemsize if dtype is None else dtype.itemsize
            entered, left = (
                itemsize * sum(prod(map(int, shape)) for shape in shapes)
                for shapes in (call.input_shapes, call.output_shapes)
            )
            if style == "rowwise":
                _add(found.embedded if _embeds(call.module) else found.rows, call.name, left)
                continue
            if not _embeds(call.module):
                _add(found.columns, call.name, entered)
            if style == "colwise_gather_output":
                _add(found.gathered, call.name, left)
        return found


def _add(sizes: dict[str, int], name: str, size: int) -> None:
    sizes[name] = sizes.get(name, 0) + size


def local(tensor: Tensor) -> Tensor:
    """What this GPU has of a tensor."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor
