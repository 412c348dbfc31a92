"""Nodes that follow each other → one: a convolution with its normalisation and activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.diagram import Node
from archscope.study.graph.naming import ABBREVIATIONS

LIGHT = {"normalisation", "activation"}
"""Families of layers that are drawn with the layer beside them."""

SMALL = {"Dropout", "Identity", "StochasticDepth", "DropPath", "Flatten"}
"""Titles of what does little or nothing, and is drawn with the layer beside it too."""

Edges = list[tuple[int, int]]


def joined(nodes: Sequence[Node], edges: Edges) -> tuple[list[Node], Edges]:
    """Join chains so that each node has at most one layer that is no normalisation or activation.

    In a chain that begins with such a light layer, as in a pre-activation block, they are drawn
    with the layer behind them, otherwise with the one before.
    """
    groups = [members for chain in _chains(nodes, edges) for members in _cut(nodes, chain)]
    groups.sort(key=lambda members: members[0])
    place = {index: number for number, members in enumerate(groups) for index in members}
    made = [_together([nodes[index] for index in members]) for members in groups]
    remaining = dict.fromkeys((place[a], place[b]) for a, b in edges if place[a] != place[b])
    return made, list(remaining)


def _chains(nodes: Sequence[Node], edges: Edges) -> list[list[int]]:
    """Paths whose inner links are the only ones of both ends, each within one cluster."""
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    chains: list[list[int]] = []
    for index, node in enumerate(nodes):
        sources = before.get(index, [])
        follows = (
            len(sources) == 1
            and len(after[sources[0]]) == 1
            and nodes[sources[0]].cluster == node.cluster
            and nodes[sources[0]].family != "input"
        )
        if follows and chains:
            chain = next((chain for chain in chains if chain[-1] == sources[0]), None)
            if chain is not None:
                chain.append(index)
                continue
        chains.append([index])
    return chains


def _cut(nodes: Sequence[Node], chain: list[int]) -> list[list[int]]:
    light = [_is_light(nodes[index]) for index in chain]
    pieces: list[list[int]] = []
    for place, index in enumerate(chain):
        begins = not light[place - 1] if light[0] else not light[place]
        if begins or not pieces:
            pieces.append([index])
        else:
            pieces[-1].append(index)
    return pieces


def _is_light(node: Node) -> bool:
    return node.family in LIGHT or node.title in SMALL


def _together(members: list[Node]) -> Node:
    """One node of several: the title of the heavy one, the names of the others behind."""
    heavy = next((node for node in members if not _is_light(node)), members[0])
    names = [node.detail if node is heavy else _light_name(node) for node in members]
    return replace(
        heavy,
        detail=" · ".join(name for name in names if name),
        shape=members[-1].shape,
        macs=sum(node.macs for node in members),
        share=sum(node.share for node in members),
    )


def _light_name(node: Node) -> str:
    return ABBREVIATIONS.get(node.title, node.title)
