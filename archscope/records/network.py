"""What was counted: inputs, layers with their work, and the whole analysis of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from archscope.records.cost import IDLE, Work

Dim = int | str
"""One side of a shape: a number, or a symbol (`H`) or expression in symbols left free."""

Shape = tuple[Dim, ...]

Setting = int | float | bool | str | None | tuple[int, ...]


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

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sides left free, each once, a free batch first."""
        sides = (side for tensor in self.tensors for side in tensor.shape)
        return tuple(dict.fromkeys(side for side in sides if isinstance(side, str)))

    @property
    def sample_shapes(self) -> tuple[Shape, ...]:
        """Shapes without the batch."""
        return tuple(t.shape[1:] if t.batched else t.shape for t in self.tensors)

    def arguments(self, values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """What a network is called with, by place and by name.

        Args:
            values: one for each of the tensors. Those named `batch.x` and `batch.y` are entries of
                a dictionary, the argument `batch`.
        """
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for tensor, value in zip(self.tensors, values, strict=True):
            if not tensor.name:
                positional.append(value)
                continue
            *around, last = tensor.name.split(".")
            inner = named
            for key in around:
                inner = inner.setdefault(key, {})
            inner[last] = value
        return positional, named

    def __str__(self) -> str:
        return ", ".join(
            (f"{t.name}=" if t.name else "")
            + ("×".join(map(str, t.shape)) or "[]")
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
        depth: nesting of calls, 0 for the network itself; of a module that never ran, one more
            than that of the nearest module around it that has a row.
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
        param_bytes: bytes that `params` are stored in.
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
    forward: Work = IDLE
    backward: Work | None = None
    activation_bytes: int = 0
    param_bytes: int = 0
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
        attention_kernels: what scaled dot-product attention was counted as, `flash on cpu`.
        branches: where the network could go several ways, and which was counted, in words.
        attention_scores: of one head of each attention that masks some: how many scores of a query
            and a key are computed and counted, and how many of them the mask lets through.
    """

    counted: Mapping[str, int] = field(default_factory=dict)
    elementwise: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    unknown_layers: tuple[str, ...] = ()
    attention_kernels: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    attention_scores: tuple[tuple[int, int], ...] = ()

    @property
    def complete(self) -> bool:
        return not self.unknown


_TOTALS_HERE = {
    "parameters": "params",
    "trainable_parameters": "trainable_params",
    "trainable": "trainable_params",
    "mult_adds": "macs",
    "backward": "macs_backward",
    "activations": "activation_bytes",
}
"""What totals are called elsewhere, by their name here."""


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
    param_bytes: int = 0

    if not TYPE_CHECKING:  # where it is seen, every attribute would be one

        def __getattr__(self, name: str) -> Any:
            """Say what a total is called here that is not an attribute."""
            problem = f"'Totals' object has no attribute {name!r}"
            place = _TOTALS_HERE.get(name)
            raise AttributeError(f"{problem}; write .{place}" if place else problem)

    @property
    def flops(self) -> int:
        """Forward floating-point operations, twice the multiply-accumulates."""
        return 2 * self.macs

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.params + other.params,
            self.trainable_params + other.trainable_params,
            self.buffers + other.buffers,
            self.macs + other.macs,
            _sum(self.macs_backward, other.macs_backward),
            self.elementwise + other.elementwise,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            _sum(self.bytes_moved_backward, other.bytes_moved_backward),
            self.activation_bytes + other.activation_bytes,
            self.operators + other.operators,
            self.param_bytes + other.param_bytes,
        )

    @property
    def intensity(self) -> float:
        """Arithmetic intensity of the forward pass: flops per byte moved."""
        return self.flops / self.bytes_moved if self.bytes_moved else 0.0


def _sum(one: int | None, other: int | None) -> int | None:
    """Of two figures of a backward pass, one of which may have had none."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


@dataclass(frozen=True, slots=True)
class Node:
    """One call in the tree of calls.

    Args:
        layer: the call.
        index: its place in `Analysis.calls`.
        children: the calls that it makes directly, in order, then modules in it that never ran.
    """

    layer: Layer
    index: int
    children: tuple[Node, ...]

    def walk(self) -> Iterator[Node]:
        """Itself and all below it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()


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

    def tree(self) -> tuple[Node, ...]:
        """The outermost calls, each with the calls inside it and then what never ran in it.

        A module that never ran is inside the first call of the nearest module around it that has
        a row, whichever calls came between.
        """
        outermost: list[int] = []
        inside: list[list[int]] = [[] for _ in self.calls]
        open_calls: list[int] = []
        first: dict[str, int] = {}
        for index, layer in enumerate(self.calls):
            if layer.called:
                while open_calls and self.calls[open_calls[-1]].depth >= layer.depth:
                    open_calls.pop()
                around = open_calls[-1] if open_calls else None
                open_calls.append(index)
            else:
                around = nearest_around(layer.name, first)
            (outermost if around is None else inside[around]).append(index)
            first.setdefault(layer.name, index)
        nodes: dict[int, Node] = {}
        for index in reversed(range(len(self.calls))):  # what is inside a call comes after it
            children = tuple(nodes.pop(child) for child in inside[index])
            nodes[index] = Node(self.calls[index], index, children)
        return tuple(nodes[index] for index in outermost)


def nearest_around(name: str, known: Mapping[str, int]) -> int | None:
    """What is known of the nearest module around a named one, the network's name being empty."""
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            return known[name]
    return None


def totals(layers: Iterable[Layer]) -> Totals:
    """Sum any selection of layers."""
    params = trainable = buffers = macs = elementwise = 0
    bytes_read = bytes_written = activation_bytes = operators = param_bytes = 0
    macs_backward = moved_backward = None
    for layer in layers:
        forward, backward = layer.forward, layer.backward
        params += layer.params
        trainable += layer.trainable_params
        param_bytes += layer.param_bytes
        buffers += layer.buffers
        macs += forward.macs
        elementwise += forward.elementwise
        bytes_read += forward.bytes_read
        bytes_written += forward.bytes_written
        activation_bytes += layer.activation_bytes
        operators += forward.operators
        if backward is not None:
            macs_backward = (macs_backward or 0) + backward.macs
            moved_backward = (moved_backward or 0) + backward.bytes_moved
    return Totals(params, trainable, buffers, macs, macs_backward, elementwise, bytes_read,
                  bytes_written, moved_backward, activation_bytes, operators,
                  param_bytes)  # fmt: skip
