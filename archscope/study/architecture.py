"""The architecture table of the ResNet, ResNeXt and DenseNet papers, derived from the modules.

A network becomes a sequence of items: convolutions, poolings, linear layers, and blocks.
A block is the outermost module with at least two computing layers that neither holds several blocks
of one class nor shrinks the feature map by more than two; equal neighbours fold to `[…] ×N`.
Rows are output strides, as in He et al. 2016 and Xie et al. 2017 (Table 1 each).
Where every network grows by concatenation, each dense block and each transition has its row, as in
Huang et al. 2017 (Table 1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise, zip_longest
from typing import Literal

from archscope.records import Analysis, Layer
from archscope.study.stages import HEAD, Geometry, in_order, labels
from archscope.table import Column, Row, Table
from archscope.units import si

ItemKind = Literal["convolution", "pooling", "linear", "block"]

SHORTCUTS = ("downsample", "shortcut", "skip", "identity")
"""Names of the module beside a block's main path; the papers leave its projection out."""

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
"""Classes that say nothing of what they hold."""


@dataclass(frozen=True)
class Item:
    """One line of the table before folding.

    Args:
        text: as the papers write it.
        label: stage of its output, see `archscope.study.stages`.
        size: sides of its output as text.
        inputs, outputs: channels of a block's first and last layer, 0 where unknown.
    """

    kind: ItemKind
    text: str
    label: str
    size: str
    inputs: int = 0
    outputs: int = 0


@dataclass(frozen=True)
class Line:
    """Equal neighbours as one line."""

    item: Item
    times: int

    @property
    def text(self) -> str:
        if self.item.kind == "block" or self.times > 1:
            return f"[{self.item.text}] ×{self.times}"
        return self.item.text


@dataclass
class _Node:
    """A call with the calls that it makes."""

    layer: Layer
    label: str
    children: list[_Node] = field(default_factory=list)

    def walk(self) -> Iterator[_Node]:
        yield self
        for child in self.children:
            yield from child.walk()


def architecture_table(networks: Sequence[tuple[str, Analysis]]) -> Table:
    """Stages with the folded contents of every network's blocks, its parameters and MACs below.

    Args:
        networks: name and count of each.
    """
    every = [items(analysis) for _, analysis in networks]
    dense = all(len(_dense_runs(each)) >= 2 for each in every)
    rows = _dense_rows(every) if dense else _stage_rows(every)
    totals = [analysis.total for _, analysis in networks]
    bottom = (
        Row(("# params", "", *(si(total.params) for total in totals)), "total"),
        Row(("MACs", "", *(f"{si(total.macs)}" for total in totals)), "total"),
    )
    columns = (
        Column("stage", "Stage", "name"),
        Column("output_size", "Output size", "text"),
        *(Column(name, name, "text") for name, _ in networks),
    )
    names = " · ".join(name for name, _ in networks)
    return Table(
        f"Architecture of {names}", columns, (*rows, *bottom), _notes(every, networks, dense)
    )


def _notes(
    every: Sequence[Sequence[Item]], networks: Sequence[tuple[str, Analysis]], dense: bool
) -> tuple[str, ...]:
    notes = []
    if dense:
        rates = ", ".join(
            f"{name} k = {run[0].outputs}"
            for (name, _), each in zip(networks, every, strict=True)
            for run in _dense_runs(each)[:1]
        )
        notes.append(
            f"Each conv in a block stands for its BN-ReLU-conv sequence; growth rate: {rates}."
        )
    else:
        notes.append(
            "In brackets one block: kernel, output channels, and C groups where there are several; "
            "normalisation, activation and the projection of a shortcut are left out."
        )
    inputs = {str(analysis.input) for _, analysis in networks}
    if len(inputs) > 1:
        notes.append("Inputs: " + "; ".join(f"{n} {a.input}" for n, a in networks) + ".")
    notes.append("MACs: multiply-accumulates, FLOPs in these papers.")
    return tuple(notes)


# Items


def items(analysis: Analysis) -> list[Item]:
    """What the papers' table lists of a network, in the order of execution."""
    found = labels(analysis)
    roots: list[_Node] = []
    path: list[_Node] = []
    for layer, label in zip(analysis.calls, found, strict=True):
        if not layer.called:
            continue
        node = _Node(layer, label)
        while path and path[-1].layer.depth >= layer.depth:
            path.pop()
        (path[-1].children if path else roots).append(node)
        path.append(node)
    reader = _Reader(analysis)
    listed = [item for root in roots for item in reader.items(root, root=True)]
    return _with_hidden_pooling(listed, analysis)


@dataclass(frozen=True)
class _Reader:
    """Turns calls into items."""

    analysis: Analysis

    def items(self, node: _Node, root: bool = False) -> Iterator[Item]:
        primitive = self._primitive(node, inside=False)
        if primitive is not None:
            yield primitive
            if node.layer.macs and node.layer.kind != "MultiheadAttention":
                for child in node.children:
                    yield from self.items(child)
        elif not root and self._is_block(node):
            yield self._block(node)
        else:
            for child in node.children:
                yield from self.items(child)

    def _is_block(self, node: _Node) -> bool:
        """Whether a container is one block, not a series of them."""
        if node.label == HEAD or len(_computing(node)) < 2:
            return False
        geometry = Geometry(self.analysis)
        before = geometry.size(node.layer.input_shape, node.layer)
        after = geometry.size(node.layer.output_shape, node.layer)
        if before and after and len(before) == len(after):
            shrinks = (math.prod(before) / math.prod(after)) ** (1 / len(before))
            if shrinks > 2.5:
                return False
        inner = Counter(
            child.layer.kind
            for child in node.walk()
            if child is not node
            and child.layer.kind not in CONTAINERS
            and len(_computing(child)) >= 2
        )
        return all(times < 2 for times in inner.values())

    def _block(self, node: _Node) -> Item:
        layers = _computing(node)
        projections = _projections(node, layers)
        texts: list[str] = []
        squeezed = False
        for child in layers:
            if child in projections:
                continue
            item = self._primitive(child, inside=True)
            assert item is not None  # every computing layer has a text
            pooled = self._is_pooled(child) and not self._is_pooled(node)
            if not pooled:
                texts.append(item.text)
            elif not squeezed:
                texts.append(f"SE, {_channels(child.layer)}")
            squeezed = pooled
        first, last = layers[0].layer, layers[-1].layer
        return Item(
            "block", "; ".join(texts), node.label, self._size(node),
            first.setting("in_channels") or 0, _channels(last),
        )  # fmt: skip

    def _is_pooled(self, node: _Node) -> bool:
        shape = node.layer.output_shape
        return Geometry(self.analysis).size(shape, node.layer) is None

    def _primitive(self, node: _Node, inside: bool) -> Item | None:
        """The item of a single layer; `None` for containers and what the papers leave out."""
        layer = node.layer
        if "Conv" in layer.kind and layer.setting("kernel_size"):
            return self._item("convolution", _convolution(layer, inside), node)
        if layer.kind == "Linear":
            width = layer.setting("out_features")
            text = f"{width}-d fc" if node.label == HEAD else f"fc {width}"
            return self._item("linear", text, node)
        if layer.macs:
            return self._item("convolution", _other(layer), node)
        pooling = _pooling(layer, self._is_pooled(node))
        return None if pooling is None else self._item("pooling", pooling, node)

    def _item(self, kind: ItemKind, text: str, node: _Node) -> Item:
        return Item(kind, text, node.label, self._size(node), outputs=_channels(node.layer))

    def _size(self, node: _Node) -> str:
        size = Geometry(self.analysis).size(node.layer.output_shape, node.layer)
        if size is None:
            return "1×1" if node.label == HEAD else ""
        return "×".join(map(str, size)) if len(size) > 1 else f"{size[0]} tokens"


def _computing(node: _Node) -> list[_Node]:
    """The calls inside, itself included, that multiply and accumulate by themselves."""
    return [child for child in node.walk() if child.layer.macs]


def _channels(layer: Layer) -> int:
    """Output channels; of an output that no setting tells of, the side that no other one equals."""
    for key in ("out_channels", "out_features", "embed_dim"):
        value = layer.setting(key)
        if isinstance(value, int):
            return value
    shape = layer.output_shape or (0,)
    last = len(shape) != 4 or shape[1] == shape[2] != shape[3]
    channels = shape[-1] if last else shape[1]
    return channels if isinstance(channels, int) else 0


def _projections(block: _Node, layers: Sequence[_Node]) -> list[_Node]:
    """The layers beside the main path, by name or, where the shape changes, by their shapes."""
    start = len(block.layer.name)
    named = [
        node
        for node in layers
        if any(
            word in part
            for part in node.layer.name[start:].lower().split(".")
            for word in SHORTCUTS
        )
    ]
    if named:
        return named
    inside, outside = block.layer.input_shape, block.layer.output_shape
    if inside == outside or len(layers) < 3:
        return []
    ends = [node for node in layers if node.layer.output_shape == outside]
    direct = [
        node
        for node in ends
        if node.layer.input_shape == inside and set(_kernel(node.layer)) == {1}
    ]
    return direct[-1:] if len(ends) > 1 else []


def _kernel(layer: Layer) -> tuple[int, ...]:
    return _sides(layer.setting("kernel_size"), 2)


def _sides(value: object, axes: int) -> tuple[int, ...]:
    """A setting that PyTorch takes as one number for all axes or as one each."""
    if isinstance(value, tuple):
        return value
    return (value,) * axes if isinstance(value, int) else ()


def _convolution(layer: Layer, inside: bool) -> str:
    """`3×3, 128, C=32`, and the stride where it stands alone."""
    text = f"{'×'.join(map(str, _kernel(layer)))}, {_channels(layer)}"
    if "Transpose" in layer.kind:
        text = f"transposed {text}"
    groups = layer.setting("groups") or 1
    if groups > 1:
        text += f", C={groups}"
    return text if inside else text + _stride(layer)


def _stride(layer: Layer) -> str:
    """`, stride 2`; nothing for 1."""
    strides = set(_sides(layer.setting("stride"), 2))
    if len(strides) == 1:
        stride = strides.pop()
        return f", stride {stride}" if stride > 1 else ""
    return f", stride {'×'.join(map(str, _sides(layer.setting('stride'), 2)))}" if strides else ""


def _other(layer: Layer) -> str:
    """A layer of another class that multiplies: attention by its heads, else its class."""
    if layer.kind == "MultiheadAttention":
        return f"attention, {_channels(layer)}, heads={layer.setting('num_heads')}"
    name = layer.kind.strip("_")
    return f"{'attention' if 'attention' in name.lower() else name}, {_channels(layer)}"


def _pooling(layer: Layer, pooled: bool) -> str | None:
    kind = layer.kind
    if "Pool" not in kind or not layer.output_shape or layer.input_shape == layer.output_shape:
        return None
    name = "average pool" if "Avg" in kind else "max pool" if "Max" in kind else "pool"
    kernel = _kernel(layer)
    if not kernel:
        sides = "×".join(map(str, layer.output_shape[2:]))
        return f"global {name}" if pooled else f"adaptive {name} to {sides}"
    return f"{'×'.join(map(str, kernel))} {name}{_stride(layer)}"


def _with_hidden_pooling(listed: list[Item], analysis: Analysis) -> list[Item]:
    """Name the global pooling that a network does without a module for it.

    It is there when the first linear layer of the head reads as many features as the last feature
    map has channels, although that map has more than one place.
    """
    for index, (last, following) in enumerate(pairwise(listed), 1):
        if following.label != HEAD or last.label == HEAD:
            continue
        if following.kind == "linear" and "×" in last.size and _reads_channels(analysis):
            kinds = " ".join(analysis.coverage.elementwise)
            name = "average pool" if "mean" in kinds or "avg_pool" in kinds else "pool"
            pooling = Item("pooling", f"{last.size} global {name}", HEAD, "1×1")
            return [*listed[:index], pooling, *listed[index:]]
    return listed


def _reads_channels(analysis: Analysis) -> bool:
    """Whether the head's first linear layer reads one number of each channel of the last map."""
    geometry = Geometry(analysis)
    channels = 0
    for layer, label in zip(analysis.calls, labels(analysis), strict=True):
        if label == HEAD and layer.kind == "Linear":
            return bool(layer.setting("in_features") == channels)
        if layer.output_shape and geometry.size(layer.output_shape, layer) is not None:
            channels = int(layer.output_shape[1])
    return False


# Rows


def _lines(listed: Iterable[Item]) -> list[Line]:
    """Equal neighbours folded."""
    lines = []
    for _, run in groupby(listed, key=lambda item: (item.kind, item.text, item.label)):
        members = list(run)
        lines.append(Line(members[-1], len(members)))
    return lines


def _stage_rows(every: Sequence[Sequence[Item]]) -> list[Row]:
    """Rows by output stride; a stage that a network passes twice keeps both passes in order."""
    rows: list[Row] = []
    number = 0
    for label in in_order(item.label for each in every for item in each):
        here = [[item for item in each if item.label == label] for each in every]
        name = label
        if any(item.kind in ("convolution", "block") for each in here for item in each):
            number += 1
            simple = all(
                len(each) == 1 and each[0].kind == "convolution" for each in here if each
            )
            name = f"conv{number}" if simple else f"conv{number}_x"
        elif label != HEAD:
            name = "pool"
        rows += _block_of_rows(name, here)
    return rows


def _block_of_rows(name: str, here: Sequence[Sequence[Item]]) -> list[Row]:
    """One stage: a row a line, its name and size in the first."""
    sizes = list(dict.fromkeys(each[-1].size for each in here if each and each[-1].size))
    texts = [[line.text for line in _lines(each)] for each in here]
    rows = []
    for index, cells in enumerate(zip_longest(*texts, fillvalue="")):
        start = (name, ", ".join(sizes)) if index == 0 else ("", "")
        rows.append(Row((*start, *cells)))
    return rows


def _dense_runs(listed: Sequence[Item]) -> list[list[Item]]:
    """Runs of blocks that each read what all before them in the run have written.

    The input then grows from block to block by what a block writes, the growth rate.
    """
    runs = []
    for kind, run in groupby(listed, key=lambda item: (item.kind, item.label)):
        blocks = list(run)
        growths = {after.inputs - before.inputs for before, after in pairwise(blocks)}
        if kind[0] == "block" and growths == {blocks[0].outputs}:
            runs.append(blocks)
    return runs


def _dense_rows(every: Sequence[Sequence[Item]]) -> list[Row]:
    """Rows by dense block and transition."""
    segments = [_segments(each) for each in every]
    names = list(dict.fromkeys(name for each in segments for name in each))
    names.sort(
        key=lambda name: max(list(each).index(name) if name in each else -1 for each in segments)
    )
    rows: list[Row] = []
    for name in names:
        here = [each.get(name, []) for each in segments]
        sizes = list(dict.fromkeys(item.size for each in here for item in each))
        for index, size in enumerate(sizes):
            part = [[item for item in each if item.size == size] for each in here]
            rows += _block_of_rows(name if index == 0 else "", part)
    return rows


def _segments(listed: Sequence[Item]) -> dict[str, list[Item]]:
    """The parts of a DenseNet under the names of its paper's Table 1."""
    runs = _dense_runs(listed)
    in_runs = {id(item): number for number, run in enumerate(runs, 1) for item in run}
    found: dict[str, list[Item]] = {}
    passed = 0
    for item in listed:
        if id(item) in in_runs:
            passed = in_runs[id(item)]
            name = f"Dense Block ({passed})"
        elif passed == 0:
            name = "Pooling" if item.kind == "pooling" else "Convolution"
        else:
            name = "Classification Layer" if passed == len(runs) else f"Transition Layer ({passed})"
        found.setdefault(name, []).append(_dense_item(item))
    return found


def _dense_item(item: Item) -> Item:
    """The same without channel counts, which the growth rate gives."""
    parts = []
    for part in item.text.split("; "):
        kernel, _, rest = part.partition(", ")
        stride = rest.partition("stride ")[2]
        is_convolution = item.kind in ("convolution", "block")
        text = f"{kernel} conv" if is_convolution else part
        parts.append(text + (f", stride {stride}" if is_convolution and stride else ""))
    return Item(item.kind, "; ".join(parts), item.label, item.size)
