"""What `torch.compile` makes of a run: operators without products become few kernels.

The rules are those of its compiler for GPUs (TorchInductor, torch 2.4).
Convolutions, matrix products and attention stay the library's own kernels, their bias apart.
What works element by element joins the kernel that made its input where both run over equally many
elements and no library's kernel is in between; a reduction joins what made its input; a
normalisation of rows or a softmax joins on both sides.
A fused kernel reads every tensor from outside once and writes what others need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from archscope.latency.kernel import Kernel, width
from archscope.latency.precision import Typed
from archscope.latency.streams import NORMS, REDUCTIONS, WINDOWS, stream_kind
from archscope.records import Operand, OperatorRun

GROUPED = 1.358
SMALL = 0.783
WIDENING = 0.725
USUAL = 0.823
"""Time of a convolution channels last over that of a contiguous one, as the compiler has it."""


def image_order(runs: Iterable[OperatorRun]) -> str:
    """How the compiler orders images in inference: as its estimate over all convolutions says."""
    contiguous = last = 0.0
    for run in runs:
        if run.name == "convolution":
            weight, groups = run.inputs[1], run.arguments[-1]
            contiguous += run.macs
            last += run.macs * _channels_last_factor(weight.shape, groups != 1)
    return "nhwc" if contiguous and last <= contiguous else "nchw"


def likely_order(kernels: Iterable[tuple[tuple[int, ...], bool]]) -> str:
    """As `image_order` before a run, as if every convolution answered equally large images.

    Args:
        kernels: the shape of each convolution's kernel, and whether it is grouped.
    """
    contiguous = last = 0.0
    for shape, grouped in kernels:
        contiguous += prod(shape)
        last += prod(shape) * _channels_last_factor(shape, grouped)
    return "nhwc" if contiguous and last <= contiguous else "nchw"


def _channels_last_factor(shape: tuple[int, ...], grouped: bool) -> float:
    out, few = shape[:2]
    if grouped and few > 1:
        return GROUPED
    if few <= 64 and out <= 64:
        return SMALL
    return WIDENING if few * 2 <= out and out > 2 else USUAL


class Value(NamedTuple):
    """What a tensor's memory holds between two writes, in one dtype."""

    storage: int
    version: int
    dtype: str


@dataclass
class Node:
    """One operator, the cast of one tensor, or the sum with one bias.

    Args:
        layer, phase: where it runs.
        reads, writes: elements of every value.
        size: elements that it runs over.
        own: the kernels of a library's operator; empty for what is compiled.
        rows: whether it reduces.
        joins: whether it may join the kernel that made its input.
        crossed: whether tensors of different order in memory meet.
    """

    layer: int
    phase: str
    reads: dict[Value, float]
    writes: dict[Value, float]
    size: float
    own: tuple[Kernel, ...] = ()
    rows: bool = False
    joins: bool = True
    crossed: bool = False

    @property
    def ends(self) -> bool:
        """Whether nothing can follow in the same kernel: its result has another size."""
        return self.rows and max(self.writes.values()) < self.size


@dataclass
class Group:
    """Nodes of one kernel; `before` holds the numbers of all groups that it waits for, as bits."""

    number: int
    nodes: list[Node] = field(default_factory=list)
    before: int = 0

    @property
    def first(self) -> Node:
        return self.nodes[0]

    @property
    def open(self) -> bool:
        return not self.first.own and not any(node.ends for node in self.nodes)


def compiled_kernels(
    operators: Iterable[Typed], own: dict[int, tuple[Kernel, ...]]
) -> Iterator[Kernel]:
    """The kernels of a compiled run.

    Args:
        operators: in the dtypes of a precision.
        own: the library's kernels by the place of the operator.
    """
    grouping = _Grouping()
    for place, operator in enumerate(operators):
        for node in grouping.values.nodes(operator, own.get(place, ())):
            grouping.add(node)
    groups = [group for group in grouping.groups if group.nodes]
    readers: dict[Value, set[int]] = {}
    for group in groups:
        for node in group.nodes:
            for value in node.reads:
                readers.setdefault(value, set()).add(group.number)
    for group in groups:
        if group.first.own:
            yield from group.first.own
        else:
            yield _fused(group, readers)


class _Grouping:
    """Puts every node into the group that it joins, or a new one."""

    def __init__(self) -> None:
        self.values = _Values()
        self.groups: list[Group] = []
        self.makers: dict[Value, Group] = {}

    def add(self, node: Node) -> None:
        sources = {g.number: g for v in node.reads if (g := self.makers.get(v)) is not None}
        group = self._joined(node, sources)
        if group is None:
            group = Group(len(self.groups))
            self.groups.append(group)
        group.nodes.append(node)
        for source in sources.values():
            if source is not group and source.nodes:
                group.before |= source.before | 1 << source.number
        for value in node.writes:
            self.makers[value] = group

    def _joined(self, node: Node, sources: dict[int, Group]) -> Group | None:
        if node.own or not node.joins:
            return None
        fit = [
            source
            for source in sources.values()
            if source.open and source.first.size == node.size and source.first.phase == node.phase
        ]
        for group in sorted(fit, key=lambda source: -source.number):
            others = [source for source in sources.values() if source is not group]
            if any(other.before >> group.number & 1 for other in others):
                continue
            for other in fit:
                if other is not group and self._independent(group, other):
                    self._merge(group, other)
            return group
        return None

    def _independent(self, group: Group, other: Group) -> bool:
        """Whether neither of two groups waits for the other, and nobody waits for the second."""
        return not (
            group.before >> other.number & 1 or other.before >> group.number & 1
        ) and not any(later.before >> other.number & 1 for later in self.groups[other.number + 1 :])

    def _merge(self, group: Group, other: Group) -> None:
        group.nodes = other.nodes + group.nodes
        group.before |= other.before
        for node in other.nodes:
            for value in node.writes:
                self.makers[value] = group
        other.nodes = []


class _Values:
    """Numbers the versions of every tensor's memory, which in-place operators make."""

    def __init__(self) -> None:
        self.versions: dict[int, int] = {}

    def _value(self, operand: Operand, dtype: str) -> Value:
        return Value(operand.storage, self.versions.get(operand.storage, 0), dtype)

    def _next(self, operand: Operand, dtype: str) -> Value:
        self.versions[operand.storage] = self.versions.get(operand.storage, 0) + 1
        return self._value(operand, dtype)

    def nodes(self, operator: Typed, own: tuple[Kernel, ...]) -> Iterator[Node]:
        run = operator.run
        place = (run.layer, run.phase)
        for operand, before, after in operator.casts:
            size: float = operand.elements
            source, made = self._value(operand, before), self._value(operand, after)
            yield Node(*place, {source: size}, {made: size}, size)
        if not run.outputs or (max(o.elements for o in run.outputs) <= 1 and not own):
            return
        reads = self._reads(operator)
        taken = {operand.storage for operand in run.inputs}
        pairs = list(zip(run.outputs, operator.outputs, strict=True))
        writes = {
            (self._next if operand.storage in taken else self._value)(operand, dtype): float(
                operand.elements
            )
            for operand, dtype in pairs
        }
        if own:
            bias = [kernel for kernel in own if kernel.kind == "bias"]
            rest = tuple(kernel for kernel in own if kernel.kind != "bias")
            yield Node(*place, reads, writes, 0, rest)
            if bias:
                operand, dtype = pairs[0]
                made, size = self._value(operand, dtype), operand.elements
                yield Node(*place, {made: size}, {self._next(operand, dtype): size}, size)
            return
        yield _compiled(run, reads, writes)

    def _reads(self, operator: Typed) -> dict[Value, float]:
        reads: dict[Value, float] = {}
        for operand, dtype in zip(operator.run.inputs, operator.inputs, strict=True):
            value = self._value(operand, dtype)
            reads[value] = max(reads.get(value, 0), operand.elements)
        return reads


def _compiled(run: OperatorRun, reads: dict[Value, float], writes: dict[Value, float]) -> Node:
    name = run.name.removesuffix("_")
    reduces = name in REDUCTIONS
    most = max(writes.values())
    return Node(
        run.layer,
        run.phase,
        reads,
        writes,
        max(most, *reads.values()) if reduces and reads else most,
        rows=reduces or NORMS.get(name, "batch_norm") != "batch_norm",
        joins=name not in WINDOWS,
        crossed=stream_kind(run).startswith("transposition"),
    )


def _fused(group: Group, readers: dict[Value, set[int]]) -> Kernel:
    made = {value for node in group.nodes for value in node.writes}
    read: dict[Value, float] = {}
    written = 0.0
    for node in group.nodes:
        for value, elements in node.reads.items():
            if value not in made:
                read[value] = max(read.get(value, 0), elements)
        for value, size in node.writes.items():
            if readers.get(value, set()) - {group.number}:
                written += width(value.dtype) * size
    kind = "fused"
    if any(node.rows for node in group.nodes):
        kind = "fused_reduction"
    elif any(node.crossed for node in group.nodes):
        kind = "fused_transposition"
    first = group.first
    return Kernel(
        kind,
        next(iter(first.writes)).dtype,
        read=sum(width(value.dtype) * most for value, most in read.items()),
        written=written,
        layer=first.layer,
        phase=first.phase,
        operator="fused",
    )
