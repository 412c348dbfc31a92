"""A network as the papers list it: convolutions, poolings, linear layers, and blocks.

A block is the outermost module with at least two computing layers that neither holds several blocks
of one class nor shrinks the feature map by more than two.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from archscope.records import Analysis, Layer, Node
from archscope.study.stages import HEAD, Geometry, labels

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


def items(analysis: Analysis) -> list[Item]:
    """What the papers' table lists of a network, in the order of execution."""
    reader = _Reader(analysis, labels(analysis))
    listed = [item for root in analysis.tree() for item in reader.items(root, root=True)]
    return _with_hidden_pooling(listed, analysis)


@dataclass(frozen=True)
class _Reader:
    """Turns calls into items."""

    analysis: Analysis
    labels: Sequence[str]

    def items(self, node: Node, root: bool = False) -> Iterator[Item]:
        if not node.layer.called:
            return
        primitive = self._primitive(node, inside=False)
        if primitive is not None:
            yield primitive
            if node.layer.macs and node.layer.kind != "MultiheadAttention":
                for child in node.children:
                    yield from self.items(child)
        elif not root and self._is_block(node):
            yield from self._blocks(node)
        else:
            for child in node.children:
                yield from self.items(child)

    def _is_block(self, node: Node) -> bool:
        """Whether a container is one block, not a series of them."""
        if self.labels[node.index] == HEAD or len(_computing(node)) < 2:
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

    def _blocks(self, node: Node) -> Iterator[Item]:
        """A container as one block, or a dense one as the layers that it is made of."""
        layers = _computing(node)
        if _is_dense(layers):
            for child in layers:
                text = _convolution(child.layer, inside=True)
                yield self._block(child, text, child.layer, child.layer)
            return
        projections = _projections(node, layers)
        path = [child for child in layers if child not in projections]
        text = "; ".join(_repeats_folded(list(self._contents(node, path))))
        yield self._block(node, text, layers[0].layer, layers[-1].layer)

    def _block(self, node: Node, text: str, first: Layer, last: Layer) -> Item:
        inputs = first.setting("in_channels") or 0
        label = self.labels[node.index]
        return Item("block", text, label, self._size(node), inputs, _channels(last))

    def _contents(self, block: Node, path: Sequence[Node]) -> Iterator[str]:
        """The layers of a block; those behind a pooling to one place are squeeze-and-excitation."""
        squeezed = False
        for child in path:
            item = self._primitive(child, inside=True)
            assert item is not None  # every computing layer has a text
            pooled = _is_pooled(child.layer) and not _is_pooled(block.layer)
            if not pooled:
                yield item.text
            elif not squeezed:
                yield f"SE, {_channels(child.layer)}"
            squeezed = pooled

    def _primitive(self, node: Node, inside: bool) -> Item | None:
        """The item of a single layer; `None` for containers and what the papers leave out."""
        layer = node.layer
        if "Conv" in layer.kind and layer.setting("kernel_size"):
            return self._item("convolution", _convolution(layer, inside), node)
        if layer.kind == "Linear":
            width = layer.setting("out_features")
            text = f"{width}-d fc" if self.labels[node.index] == HEAD else f"fc {width}"
            return self._item("linear", text, node)
        if layer.macs:
            return self._item("convolution", _other(layer), node)
        pooling = _pooling(layer)
        return None if pooling is None else self._item("pooling", pooling, node)

    def _item(self, kind: ItemKind, text: str, node: Node) -> Item:
        label = self.labels[node.index]
        return Item(kind, text, label, self._size(node), outputs=_channels(node.layer))

    def _size(self, node: Node) -> str:
        size = Geometry(self.analysis).size(node.layer.output_shape, node.layer)
        if size is None:
            return "1×1" if self.labels[node.index] == HEAD else ""
        return "×".join(map(str, size)) if len(size) > 1 else f"{size[0]} tokens"


def _computing(node: Node) -> list[Node]:
    """The calls inside, itself included, that multiply and accumulate by themselves."""
    return [child for child in node.walk() if child.layer.macs]


def _is_pooled(layer: Layer) -> bool:
    """Whether the output has one place: N×C, or N×C×1×1."""
    shape = layer.output_shape or ()
    return len(shape) == 2 or (len(shape) > 2 and set(shape[2:]) == {1})


def _is_dense(layers: Sequence[Node]) -> bool:
    """Whether every convolution reads what all before it have written (Huang et al. 2017)."""
    inputs = [node.layer.setting("in_channels") or 0 for node in layers]
    growth = {_channels(node.layer) for node in layers}
    return len(layers) > 2 and {after - before for before, after in pairwise(inputs)} == growth


def _repeats_folded(texts: list[str]) -> list[str]:
    """A sequence of up to four that comes three times or more, as `(…) ×N`."""
    folded: list[str] = []
    start = 0
    while start < len(texts):
        length, times = max(
            ((length, _times(texts[start:], length)) for length in (1, 2, 3, 4)),
            key=lambda pair: (pair[0] * pair[1] if pair[1] >= 3 else 0, -pair[0]),
        )
        if times < 3:
            folded.append(texts[start])
            start += 1
        else:
            folded.append(f"({'; '.join(texts[start : start + length])}) ×{times}")
            start += length * times
    return folded


def _times(texts: Sequence[str], length: int) -> int:
    """How often the first `length` texts come in a row."""
    times = 1
    while texts[times * length : (times + 1) * length] == texts[:length]:
        times += 1
    return times


def _channels(layer: Layer) -> int:
    """Output channels; of an output that no setting tells of, the side that no other one equals."""
    for key in ("out_channels", "out_features", "embed_dim"):
        value = layer.setting(key)
        if isinstance(value, int):
            return value
    shape = layer.output_shape or (0,)
    last = len(shape) != 4 or shape[2] != shape[3]
    channels = shape[-1] if last else shape[1]
    return channels if isinstance(channels, int) else 0


def _projections(block: Node, layers: Sequence[Node]) -> list[Node]:
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


def _pooling(layer: Layer) -> str | None:
    kind = layer.kind
    if "Pool" not in kind or not layer.output_shape or layer.input_shape == layer.output_shape:
        return None
    name = "average pool" if "Avg" in kind else "max pool" if "Max" in kind else "pool"
    kernel = _kernel(layer)
    if not kernel and _is_pooled(layer):
        sides = "×".join(map(str, (layer.input_shape or ())[2:]))
        return f"{sides} global {name}".lstrip()
    if not kernel:
        return f"adaptive {name} to {'×'.join(map(str, layer.output_shape[2:]))}"
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
