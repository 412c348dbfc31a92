"""Steps of a run → the nodes and edges of its drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.analysis.graph import INPUT, FlowStep
from archscope.ask.graph import NetworkGraph
from archscope.diagram import Node
from archscope.patterns import matching, unmatched
from archscope.records import Layer, Shape
from archscope.study.families import family_of
from archscope.study.graph.folding import CallKey, Folding, short_name
from archscope.study.graph.naming import operators_family, operators_title, title_of
from archscope.wording import OWN_WORK, shape_text


def _own_name(layer: Layer) -> str:
    """The last component of the name, with the one before where it is only a number."""
    *around, last = layer.name.split(".")
    return f"{around[-1]}.{last}" if last.isdecimal() and around else last


class Drawing:
    """Steps of the run as nodes, with the tensors between them as edges."""

    def __init__(self, graph: NetworkGraph, folding: Folding) -> None:
        self.graph, self.folding = graph, folding
        self.steps = graph.steps
        self.calls = [(name, call) for name, _, call in graph.execution.layers]
        self.keys: list[object] = []
        ordinals: dict[CallKey, int] = {}
        for step in self.steps:
            call = self.calls[step.layer]
            place = folding.places[call]
            ordinal = ordinals.get(call, 0)
            ordinals[call] = ordinal + 1
            self.keys.append((place.key, ordinal if place.opened else 0))

    def chosen(self, pattern: str) -> list[int]:
        """Places of the steps of the modules that the pattern names."""
        if not pattern:
            return list(range(len(self.steps)))
        layers = [self.graph.execution.layers[step.layer] for step in self.steps]
        found = [i for i, layer in enumerate(layers) if matching(pattern, layer.name, layer.kind)]
        if not found:
            names = [layer.name for layer in layers]
            raise unmatched(pattern, pattern, self.graph.analysis.model, names)
        return found

    def reduced(self, steps: Sequence[int]) -> tuple[list[Node], list[tuple[int, int]]]:
        """One node a key, in order, the input first; each edge once."""
        total = self.graph.analysis.total.macs or 1
        nodes: list[Node] = []
        places: dict[object, int] = {}
        for index in steps:
            key, step = self.keys[index], self.steps[index]
            if key not in places:
                places[key] = len(nodes) + 1
                nodes.append(self._node(step))
            here = places[key] - 1
            nodes[here] = replace(nodes[here], share=nodes[here].share + step.macs / total)
            if self._is_first(index):
                nodes[here] = replace(nodes[here], macs=nodes[here].macs + step.macs)
        edges: dict[tuple[int, int], None] = {}
        for index in steps:
            for source in self.steps[index].reads:
                start = places.get(self.keys[source], 0) if source != INPUT else 0
                end = places[self.keys[index]]
                if start < end and (source == INPUT or self._same_copy(source, index)):
                    edges.setdefault((start, end))
        return [self._input(steps), *nodes], list(edges)

    def _is_first(self, index: int) -> bool:
        place = self.folding.places[self.calls[self.steps[index].layer]]
        return all(copy == 0 for _, copy in place.copies)

    def _same_copy(self, one: int, other: int) -> bool:
        """Whether no repeat stands between two steps."""
        first, second = (
            dict(self.folding.places[self.calls[self.steps[index].layer]].copies)
            for index in (one, other)
        )
        return all(second.get(run, copy) == copy for run, copy in first.items())

    def _input(self, steps: Sequence[int]) -> Node:
        given = self.graph.analysis.input
        if not steps or steps[0] == 0:
            return Node("", "input", "", str(given), 0, 0.0, "input")
        sources = [source for source in self.steps[steps[0]].reads if source != INPUT]
        shape = self.steps[sources[0]].shape if sources else ()
        return Node("", "what comes before", "", shape_text(shape) or "", 0, 0.0, "input")

    def _node(self, step: FlowStep) -> Node:
        place = self.folding.places[self.calls[step.layer]]
        layer = place.layer
        name = short_name(layer)
        if place.opened:
            title, detail = operators_title(step.operators), ""
            shape: Shape = step.shape
            family, name = operators_family(step.operators), f"{name} {OWN_WORK}"
        else:
            title, detail = title_of(layer), _own_name(layer)
            shape = layer.output_shape or step.shape
            family = family_of(layer) if not layer.children else "container"
        return Node(name, title, detail, self._shape(shape), 0, 0.0, family, place.box)

    def _shape(self, shape: Shape) -> str:
        """Without the batch, which is the same throughout."""
        batched = len(shape) > 1 and shape[0] == self.graph.analysis.input.batch
        return shape_text(shape[1:] if batched else shape) or ""
