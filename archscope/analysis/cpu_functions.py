"""Recurrent layers as a CPU runs them, whose kernels keep other tensors than the meta device's.

PyTorch projects all steps of a layer at once on a CPU, and one step after the other elsewhere
(aten/src/ATen/native/RNN.cpp, `FullLayer`). Its LSTM in float32 runs in oneDNN, one direction of a
layer at a time, and keeps a workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

PAGE = 4096
LINE = 64
"""Bytes that oneDNN aligns parts of a workspace and rows of a matrix to."""


class CpuFunctions(TorchFunctionMode):
    """Takes recurrent layers apart as a CPU does; packed sequences stay as they are.

    Args:
        on_meta: whether the tensors are; a run on a CPU needs no help.
    """

    def __init__(self, on_meta: bool) -> None:
        super().__init__()
        self.on_meta = on_meta

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if self.on_meta and name in CELLS and isinstance(args[2], (list, tuple)):
            return _recurrent(name, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class Weights(NamedTuple):
    """Parameters of one direction of one layer.

    Args:
        input: (gates, inputs).
        recurrent: (gates, states).
        input_bias, recurrent_bias: (gates), `None` without.
        projection: (outputs, states) of an LSTM that projects its states, else `None`.
    """

    input: Tensor
    recurrent: Tensor
    input_bias: Tensor | None = None
    recurrent_bias: Tensor | None = None
    projection: Tensor | None = None


def _recurrent(
    name: str, input: Tensor, states: Any, flat: Sequence[Tensor], has_biases: bool,
    num_layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """`torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu` of sequences of one length.

    `input` is (steps, batch, inputs), or batch first; `states`, of an LSTM two of them, (layers ·
    directions, batch, states); `flat` has the weights, layer by layer.
    """
    begin = [list(s.unbind(0)) for s in (states if name == "lstm" else (states,))]
    directions = 2 if bidirectional else 1
    each = len(flat) // (num_layers * directions)
    x = input.transpose(0, 1) if batch_first else input
    ends: list[tuple[Tensor, ...]] = []
    for layer in range(num_layers):
        x = x.contiguous() if name == "lstm" and x.dtype is torch.float32 else x
        made = []
        for direction in range(directions):
            place = layer * directions + direction
            weights = _weights(flat[place * each : (place + 1) * each], has_biases)
            out, *end = _layer(name, x, [s[place] for s in begin], weights, direction == 1)
            made.append(out)
            ends.append(tuple(end))
        x = torch.cat(made, -1) if bidirectional else made[0]
        if dropout and train and layer < num_layers - 1:
            x = torch.dropout(x, dropout, train)
    finals = [torch.stack(end, 0) for end in zip(*ends, strict=True)]
    return (x.transpose(0, 1) if batch_first else x, *finals)


def _weights(flat: Sequence[Tensor], has_biases: bool) -> Weights:
    biases = 2 if has_biases else 0
    one, other = flat[2:4] if has_biases else (None, None)
    projection = flat[2 + biases :]
    return Weights(flat[0], flat[1], one, other, projection[0] if projection else None)


def _layer(
    name: str, x: Tensor, states: list[Tensor], weights: Weights, reverse: bool
) -> tuple[Tensor, ...]:
    """One direction of one layer: outputs of all steps, and the states after the last."""
    if name == "lstm" and x.dtype is torch.float32 and weights.projection is None:
        parameters = [weights.input, weights.recurrent]
        for bias, weight in zip(weights[2:4], weights[:2], strict=True):
            # Without biases PyTorch hands over zeros in the shapes of the weights.
            parameters.append(torch.zeros_like(weight) if bias is None else bias)
        return OneDnnLstm.apply(x, *states, *parameters)  # type: ignore[no-any-return]
    projected = F.linear(x, weights.input, weights.input_bias).unbind(0)
    outputs = []
    for step in reversed(projected) if reverse else projected:
        states = CELLS[name](step, states, weights)
        outputs.append(states[0])
    return (torch.stack(outputs[::-1] if reverse else outputs), *states)


def _lstm(step: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    hidden, cell = states
    gates = F.linear(hidden, weights.recurrent, weights.recurrent_bias).add_(step)
    chunks = gates.unsafe_chunk(4, 1)
    taken, forgotten, new, shown = (
        chunk.tanh_() if place == 2 else chunk.sigmoid_() for place, chunk in enumerate(chunks)
    )
    cell = (forgotten * cell).add_(taken * new)
    hidden = shown * cell.tanh()
    if weights.projection is not None:
        hidden = hidden.matmul(weights.projection.t())
    return [hidden, cell]


def _gru(step: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    (hidden,) = states
    inner = step.unsafe_chunk(3, 1)
    outer = F.linear(hidden, weights.recurrent, weights.recurrent_bias).unsafe_chunk(3, 1)
    reset = outer[0].add_(inner[0]).sigmoid_()
    stay = outer[1].add_(inner[1]).sigmoid_()
    new = inner[2].add(outer[2].mul_(reset)).tanh_()
    return [(hidden - new).mul_(stay).add_(new)]


def _rnn(activation: Callable[[Tensor], Tensor]) -> Callable[..., list[Tensor]]:
    def cell(step: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
        recurrent = F.linear(states[0], weights.recurrent, weights.recurrent_bias)
        return [activation(recurrent.add_(step))]

    return cell


CELLS = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn(torch.tanh), "rnn_relu": _rnn(torch.relu)}


class OneDnnLstm(torch.autograd.Function):
    """`mkldnn_rnn_layer`: keeps its input, states, outputs, weights and a workspace."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, hidden: Tensor, cell: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = x.shape
        out = hidden.new_empty(steps, batch, hidden.shape[-1])
        ends = torch.empty_like(hidden), torch.empty_like(cell)
        size = workspace_bytes(steps, batch, x.shape[-1], hidden.shape[-1])
        workspace = out.new_empty(size, dtype=torch.uint8)
        saved = (x, hidden.contiguous(), cell.contiguous(), out, *ends, workspace)
        ctx.save_for_backward(*saved, *parameters)
        return out, *ends

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, hidden, cell, _, _, _, _, *parameters = ctx.saved_tensors
        return tuple(torch.empty_like(t) for t in (x, hidden, cell, *parameters))


def workspace_bytes(steps: int, batch: int, inputs: int, states: int) -> int:
    """Bytes of oneDNN's workspace of a float32 LSTM layer.

    Gates and outputs of every step, and states before and after each of inputs, outputs and
    cells with their gradients: every part in pages, every row in lines
    (oneDNN, src/cpu/rnn/rnn_utils.hpp, `set_workspace_sizes`).
    """
    wide = _row(max(inputs, states))
    sizes = [
        steps * batch * _row(4 * states),
        *3 * [2 * (steps + 1) * batch * wide],
        *2 * [2 * (steps + 1) * batch * states],
        steps * batch * _row(states),
    ]
    return sum(-(-4 * size // PAGE) * PAGE for size in sizes)


def _row(values: int) -> int:
    """Floats from one row to the next: whole lines, and no multiple of 256."""
    line = LINE // 4
    found = -(-values // line) * line
    return found + line if found % 256 == 0 else found
