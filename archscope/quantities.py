"""What is counted, predicted or measured of a network: one row a quantity, read by every table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from archscope.records import Layer, Totals, totals
from archscope.table import Column, Unit


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity, under the names that tables, files and options call it by.

    Args:
        key: name in CSV, JSON, frames and `--columns`, snake_case with the unit where one applies.
        heading: of its column.
        title: of its row, and of what is said in full.
        unit: how cells of a table of layers are written.
        read: its value in sums over layers; `None` where these do not hold it (a prediction, a
            measurement, a publication does).
        better: which of two values wins a comparison.
        bounded: whether an operator without a formula makes it a lower bound.
        option: what `--match` and a budget's limits call it; empty where they do not know it.
        word: in the middle of a sentence.
        overview: unit where whole networks stand side by side; `unit` when `None`.
    """

    key: str
    heading: str
    title: str
    unit: Unit
    read: Callable[[Totals], float | None] | None = None
    better: Literal["less", "more"] = "less"
    bounded: bool = False
    option: str = ""
    word: str = ""
    overview: Unit | None = None

    def column(self, priority: int = 0) -> Column:
        """Its column in a table of layers or points."""
        return Column(self.key, self.heading, self.unit, priority)

    def total(self, total: Totals) -> float:
        """Its value in sums that must hold it; 0 for a backward pass that was not traced."""
        assert self.read is not None
        return self.read(total) or 0

    def of(self, layers: Iterable[Layer]) -> float:
        """Its sum over layers."""
        return self.total(totals(layers))

    def best(self, values: Iterable[float]) -> float:
        """The value that wins."""
        return min(values) if self.better == "less" else max(values)


def _macs_training(total: Totals) -> int | None:
    return None if total.macs_backward is None else total.macs + total.macs_backward


PARAMS = Quantity(
    "params", "Params", "Parameters", "exact", lambda total: total.params,
    option="params", word="parameters", overview="count",
)  # fmt: skip
PARAM_BYTES = Quantity(
    "param_bytes", "Param bytes", "Parameter bytes", "bytes",
    lambda total: None if total.params and not total.param_bytes else total.param_bytes,
)  # fmt: skip
"""What the parameters are stored in; unknown to records that were saved without it."""

TRAINABLE = Quantity(
    "trainable_params", "Trainable", "Trainable parameters", "exact",
    lambda total: total.trainable_params,
)  # fmt: skip
BUFFERS = Quantity("buffers", "Buffers", "Buffers", "exact", lambda total: total.buffers)
MACS = Quantity(
    "macs", "MACs", "MACs forward", "macs", lambda total: total.macs,
    bounded=True, option="macs", word="MACs",
)  # fmt: skip
MACS_BACKWARD = Quantity(
    "macs_backward", "MACs backward", "MACs backward", "macs", lambda total: total.macs_backward,
    bounded=True,
)  # fmt: skip
MACS_TRAINING = Quantity(
    "macs_training", "MACs with backward", "MACs with backward", "macs", _macs_training,
    bounded=True,
)  # fmt: skip
ELEMENTWISE = Quantity(
    "elementwise", "Elementwise", "Elementwise", "count", lambda total: total.elementwise,
    bounded=True,
)  # fmt: skip
ACTIVATIONS = Quantity(
    "activation_bytes", "Activations", "Activations", "bytes",
    lambda total: total.activation_bytes, option="activations", word="activations",
)  # fmt: skip
BYTES_READ = Quantity("bytes_read", "Read", "Bytes read", "bytes", lambda total: total.bytes_read)
BYTES_WRITTEN = Quantity(
    "bytes_written", "Written", "Bytes written", "bytes", lambda total: total.bytes_written
)
BYTES_MOVED = Quantity(
    "bytes_moved", "Bytes moved", "Bytes moved", "bytes", lambda total: total.bytes_moved
)
INTENSITY = Quantity(
    "intensity", "flops/byte", "Flops per byte", "decimal",
    lambda total: total.intensity if total.bytes_moved else None, better="more",
)  # fmt: skip
"""Flops (2 × MACs) of the forward pass over the bytes it moves; elementwise work is left out."""

OPERATORS = Quantity("operators", "Operators", "Operators", "exact", lambda total: total.operators)
TRAINING_MEMORY = Quantity(
    "training_bytes", "Training memory", "Training memory", "bytes",
    option="memory", word="training memory",
)  # fmt: skip
"""What a GPU must have: what `archscope memory` predicts, its allowance included."""

TRAINING_TENSORS = Quantity(
    "training_tensor_bytes", "Training tensors", "Training tensors", "bytes",
    word="training tensors",
)  # fmt: skip
"""The tensors' part of it: two networks compare by this, as the allowance is alike for both."""

LATENCY = Quantity(
    "latency_seconds", "Latency", "Inference latency", "seconds",
    option="latency", word="inference latency",
)  # fmt: skip
PREDICTED_LATENCY = Quantity(
    "predicted_seconds", "Predicted", "Predicted step", "seconds",
    option="predicted_latency", word="predicted latency",
)  # fmt: skip
TOP1 = Quantity("top1", "Top-1", "ImageNet top-1", "percent", better="more")
TOP5 = Quantity("top5", "Top-5", "ImageNet top-5", "percent", better="more")

COUNTED = (
    PARAMS, PARAM_BYTES, TRAINABLE, BUFFERS, MACS, MACS_BACKWARD, MACS_TRAINING, ELEMENTWISE,
    ACTIVATIONS, BYTES_READ, BYTES_WRITTEN, BYTES_MOVED, INTENSITY, OPERATORS,
)  # fmt: skip
"""What sums over layers hold."""

LIMITED = {
    quantity.option: quantity
    for quantity in (PARAMS, MACS, ACTIVATIONS, TRAINING_MEMORY, LATENCY, PREDICTED_LATENCY)
}
"""What a budget limits, by the word that its file uses."""

MATCHED = {quantity.option: quantity for quantity in (MACS, PARAMS, ACTIVATIONS)}
"""What networks can be made equal in, by the word that `--match` takes."""

LOWER_BOUNDS = frozenset(
    {*(quantity.key for quantity in COUNTED if quantity.bounded), f"{MACS.key}_ratio"}
)
"""Columns that an operator without a formula makes lower bounds; the others stay exact."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value beside the one that it is compared with.

    Args:
        value: of this network.
        reference: of the other.
    """

    value: float
    reference: float

    @property
    def amount(self) -> float:
        """How much more it is."""
        return self.value - self.reference

    @property
    def share(self) -> float | None:
        """The amount as a share of the reference; `None` where that is nothing."""
        return self.amount / self.reference if self.reference else None

    @property
    def ratio(self) -> float | None:
        """The value over the reference; `None` where that is nothing."""
        return self.value / self.reference if self.reference else None
