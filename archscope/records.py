"""Facts and measurements, frozen: what was counted, of which network, on which input.

Single letters name factors only: N batch, C channels, H height, W width, D depth or features,
K kernel side, G groups, L sequence length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal

Dim = int | str
"""One side of a shape: a number, or a symbol (`H`) or expression in symbols left free."""

Shape = tuple[Dim, ...]

Setting = int | float | bool | str | None | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Factor:
    """A named number in a product, such as `C_out = 64`."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Product:
    """Multiply-accumulates as a product of named factors.

    Args:
        factors: in the order in which a textbook writes them.
        role: what the product computes where a cost has several: `weight gradient`,
            `input gradient`, `query·key`, ….
    """

    factors: tuple[Factor, ...]
    role: str = ""

    @property
    def value(self) -> int:
        return prod(factor.value for factor in self.factors)


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-accumulates as a sum of products; totals, prose and formulas all evaluate this."""

    products: tuple[Product, ...] = ()

    @property
    def macs(self) -> int:
        return sum(product.value for product in self.products)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.products + other.products)


FREE = Cost()


@dataclass(frozen=True, slots=True)
class Work:
    """What one layer does in one pass.

    Args:
        cost: multiply-accumulates.
        elementwise: operations of bias, normalisation, activation, pooling and adds.
        bytes_read: distinct inputs of each operator, once per operator.
        bytes_written: outputs of each operator.
        operators: how many operators ran (views excluded).
    """

    cost: Cost = FREE
    elementwise: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    operators: int = 0

    @property
    def macs(self) -> int:
        return self.cost.macs

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input tensor.

    Args:
        shape: with the batch dimension first where `batched`.
        dtype: PyTorch's name, `float32` or `int64`.
        name: keyword under which `forward` takes it; empty for a positional argument.
        batched: whether the first dimension is the batch.
    """

    shape: Shape
    dtype: str = "float32"
    name: str = ""
    batched: bool = True


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network is called with.

    Args:
        tensors: in call order.
        layout: `tensors` passes them as they are; `images` passes each sample of the first as
            an element of a list, as torchvision's detection networks want it.
    """

    tensors: tuple[TensorSpec, ...]
    layout: Literal["tensors", "images"] = "tensors"

    @property
    def batch(self) -> Dim:
        """Size of the batch dimension, 1 where no input has one."""
        return next((t.shape[0] for t in self.tensors if t.batched and t.shape), 1)

    def __str__(self) -> str:
        return ", ".join(
            (f"{t.name}=" if t.name else "")
            + "×".join(map(str, t.shape))
            + ("" if t.dtype == "float32" else f":{t.dtype}")
            for t in self.tensors
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of one module, with the work of its own operators; its children have their own.

    Args:
        name: dotted path in the network, empty for the network itself.
        kind: class name.
        call: 0 for the first call of this module, 1 for the second, ….
        depth: nesting of calls, 0 for the network itself.
        children: how many calls it makes directly.
        called: False for a module that holds parameters and never ran.
        input_shapes, output_shapes: of every tensor passed in and returned.
        params: elements of the parameters that belong to this module directly and that no
            earlier layer has counted.
        trainable_params: those of them that need a gradient.
        shared_params: elements that an earlier layer has counted already.
        buffers: elements of the module's own buffers, counted once.
        forward: work of the forward pass.
        backward: work of the backward pass; `None` when no backward pass was traced.
        activation_bytes: bytes of the tensors that its operators create; views and in-place
            results create none.
        settings: constructor facts of PyTorch's standard modules (`kernel_size`, `groups`, …).
        receptive_field: pixels of the input that one output position depends on, along each
            spatial axis, `None` for an axis that it depends on as a whole; `None` where it was
            not asked for or has no meaning.
    """

    name: str
    kind: str
    call: int = 0
    depth: int = 0
    children: int = 0
    called: bool = True
    input_shapes: tuple[Shape, ...] = ()
    output_shapes: tuple[Shape, ...] = ()
    params: int = 0
    trainable_params: int = 0
    shared_params: int = 0
    buffers: int = 0
    forward: Work = Work()
    backward: Work | None = None
    activation_bytes: int = 0
    settings: tuple[tuple[str, Setting], ...] = ()
    receptive_field: tuple[int | None, ...] | None = None

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the (first) output, `None` when it returns no tensor."""
        return self.output_shapes[0] if self.output_shapes else None

    @property
    def input_shape(self) -> Shape | None:
        return self.input_shapes[0] if self.input_shapes else None

    @property
    def macs(self) -> int:
        return self.forward.macs

    @property
    def macs_backward(self) -> int | None:
        return None if self.backward is None else self.backward.macs

    @property
    def elementwise(self) -> int:
        return self.forward.elementwise

    @property
    def computes(self) -> bool:
        """Whether it is a layer of its own right: a leaf, or a container with own work."""
        return (
            self.children == 0
            or self.forward.operators > 0
            or self.params > 0
            or self.shared_params > 0
        )

    def setting(self, key: str) -> Any:
        """One constructor fact, `None` where the module has none of that name."""
        return dict(self.settings).get(key)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which operators the count knows.

    Args:
        counted: operators with multiply-accumulates, and how often each ran.
        elementwise: operators counted in the elementwise column.
        free: views, copies and bookkeeping.
        unknown: operators without a formula: they make every total a lower bound.
        unknown_layers: names of the layers where unknown operators ran.
    """

    counted: Mapping[str, int] = field(default_factory=dict)
    elementwise: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    unknown_layers: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.unknown


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all layers of an Analysis; backward figures are `None` when none was traced."""

    params: int
    trainable_params: int
    buffers: int
    macs: int
    macs_backward: int | None
    elementwise: int
    bytes_read: int
    bytes_written: int
    bytes_moved_backward: int | None
    activation_bytes: int
    operators: int

    @property
    def flops(self) -> int:
        """Forward floating-point operations, twice the multiply-accumulates."""
        return 2 * self.macs

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written

    @property
    def intensity(self) -> float:
        """Arithmetic intensity of the forward pass: flops per byte moved."""
        return self.flops / self.bytes_moved if self.bytes_moved else 0.0


@dataclass(frozen=True)
class Analysis:
    """Everything counted about one network on one input.

    Args:
        model: the name it was asked for by.
        input: what it was called with.
        calls: every module call in execution order (a parent before its children), then the
            modules that hold parameters and never ran.
        coverage: which operators the count knows.
        keywords: constructor keywords given by the user, as text.
        executed_on: `meta`, or `cpu` when data-dependent control flow forced a real run.
        versions: of archscope, torch and the library that the network came from.
        notes: sentences a reader of the numbers must know.
    """

    model: str
    input: InputSpec
    calls: tuple[Layer, ...]
    coverage: Coverage = Coverage()
    keywords: tuple[tuple[str, str], ...] = ()
    executed_on: Literal["meta", "cpu"] = "meta"
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The calls that compute: leaves, and containers with work or parameters of their own."""
        return tuple(layer for layer in self.calls if layer.computes)

    @property
    def backward_traced(self) -> bool:
        return any(layer.backward is not None for layer in self.calls)

    @cached_property
    def total(self) -> Totals:
        return totals(self.calls)

    def tree(self) -> Iterator[tuple[Layer, range]]:
        """Each call with the index range of its subtree (itself first) within `calls`."""
        ends = _subtree_ends(self.calls)
        for index, layer in enumerate(self.calls):
            yield layer, range(index, ends[index])


def totals(layers: Iterable[Layer]) -> Totals:
    """Sum any selection of layers."""
    chosen = list(layers)
    backward = [layer.backward for layer in chosen if layer.backward is not None]
    return Totals(
        params=sum(layer.params for layer in chosen),
        trainable_params=sum(layer.trainable_params for layer in chosen),
        buffers=sum(layer.buffers for layer in chosen),
        macs=sum(layer.forward.macs for layer in chosen),
        macs_backward=sum(work.macs for work in backward) if backward else None,
        elementwise=sum(layer.forward.elementwise for layer in chosen),
        bytes_read=sum(layer.forward.bytes_read for layer in chosen),
        bytes_written=sum(layer.forward.bytes_written for layer in chosen),
        bytes_moved_backward=sum(work.bytes_moved for work in backward) if backward else None,
        activation_bytes=sum(layer.activation_bytes for layer in chosen),
        operators=sum(layer.forward.operators for layer in chosen),
    )


def _subtree_ends(calls: tuple[Layer, ...]) -> list[int]:
    """For each call, the index after its last descendant: the next call that is no deeper."""
    ends = [len(calls)] * len(calls)
    open_calls: list[int] = []
    for index, layer in enumerate(calls):
        while open_calls and calls[open_calls[-1]].depth >= layer.depth:
            ends[open_calls.pop()] = index
        open_calls.append(index)
    return ends


@dataclass(frozen=True, slots=True)
class Measurement:
    """Raw seconds of one repeated thing, in the order taken, warm-up removed.

    Args:
        seconds: every sample kept.
        median_low, median_high: 95 % interval of the median, widened for autocorrelation.
        first_seconds: the very first call, with its compilation and algorithm search.
        warmup: how many samples were spent and dropped before the first one kept.
        converged: whether the interval reached the precision asked for.
        warnings: what makes the number doubtful (drift, outliers, two clock states).
    """

    seconds: tuple[float, ...]
    median_low: float
    median_high: float
    first_seconds: float | None = None
    warmup: int = 0
    converged: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def median(self) -> float:
        return self._quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        return self._quantile(0.25), self._quantile(0.75)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the median; never printed tighter than 0.2 %."""
        return max(0.002, (self.median_high - self.median_low) / 2 / self.median)

    def _quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        position = share * (len(ordered) - 1)
        index = int(position)
        if index + 1 >= len(ordered):
            return ordered[index]
        return ordered[index] + (position - index) * (ordered[index + 1] - ordered[index])


@dataclass(frozen=True, slots=True)
class Environment:
    """What decides a measured number besides the network: all of it text, as the tools print it."""

    device: str
    facts: tuple[tuple[str, str], ...] = ()

    def fact(self, key: str) -> str | None:
        return dict(self.facts).get(key)


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Seconds of one row of the step's table, mean over the middle half of the profiled steps.

    Args:
        name: the module's dotted path; `[GPU idle / launch gap]` and the like for other rows.
        kind: class name, or what the row is.
        call: index of the module call, 0 for the first.
        seconds: phase (`forward`, `backward`, `recompute`, `optimizer`, …) to busy seconds.
        launches: kernels (or operators on CPU) a step.
    """

    name: str
    kind: str
    call: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    launches: int = 0

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Profile:
    """Everything measured about one network on one device.

    Args:
        phases: whole-step Measurements by phase: `forward`, `backward`, `optimizer`, `step`,
            `inference`, and the same with ` stream` or ` graph` behind for other clocks.
        layers: rows that add up to the profiled step.
        attributed: share of the profiled busy time that found its layer, by phase.
        peak_bytes: by kind (`parameters`, `gradients`, `forward allocated`, …).
        peaks: how fast the device can be: flop/s by dtype, bytes/s under `copy`.
        analysis: the count of the same network, when it could be made.
    """

    model: str
    input: InputSpec
    environment: Environment
    phases: Mapping[str, Measurement] = field(default_factory=dict)
    layers: tuple[LayerTime, ...] = ()
    attributed: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)
    keywords: tuple[tuple[str, str], ...] = ()
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()

    def throughput(self, phase: str) -> float:
        """Samples per second of a phase."""
        batch = self.input.batch
        if not isinstance(batch, int):
            raise TypeError("a measured input has a numeric batch")
        return batch / self.phases[phase].median


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation and what was found.

    Args:
        tolerance: largest absolute difference that still passes; 0 for exact figures.
        source: where the expectation comes from.
        reason: why the two part, when that is known; a known reason passes.
    """

    name: str
    expected: float
    actual: float
    tolerance: float = 0.0
    source: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return abs(self.actual - self.expected) <= self.tolerance or bool(self.reason)


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

    @property
    def total(self) -> int:
        return (
            self.parameters
            + self.buffers
            + self.optimizer
            + self.input
            + self.gradients
            + self.activations
            + self.temporary
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
        dtype: of the weights and activations, such as `float32`.
        optimizer: `sgd`, `momentum`, `adam` or `adamw`; empty for inference.
        master_weights: whether the optimiser keeps float32 weights beside those of the network.
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


@dataclass(frozen=True, slots=True)
class SignalPoint:
    """Statistics of one module call's output x and of the gradients that reach it.

    Args:
        depth: convolutions and linear layers executed up to and including this call.
        role: `block`, `activation`, `weight` or `other`.
        mean_square: mean of x² over all elements.
        variance: of each channel over batch and positions, averaged over channels.
        squared_mean: squared mean of each channel, averaged over channels.
        weight_gradient_norm: Euclidean norm of the loss gradient of its weights, those of its
            children included, if it has any.
        input_gradient_norm: Euclidean norm of the loss gradient of all its inputs together;
            `None` where none needs a gradient.
    """

    name: str
    kind: str
    call: int
    depth: int
    role: Literal["block", "activation", "weight", "other"]
    mean_square: float
    variance: float
    squared_mean: float
    weight_gradient_norm: float | None = None
    input_gradient_norm: float | None = None


@dataclass(frozen=True)
class NetworkSignal:
    """Statistics by depth of one network at initialisation.

    Args:
        points: every module call that returns a floating tensor, in the order of completion.
    """

    model: str
    input: InputSpec
    points: tuple[SignalPoint, ...]
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SignalPropagation:
    """How signal and gradient travel through one or several networks."""

    networks: tuple[NetworkSignal, ...]
    versions: tuple[tuple[str, str], ...] = ()
