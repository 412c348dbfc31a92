"""Which containers and repeats get a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.diagram import Cluster, Node
from archscope.study.graph.folding import Box

DOMINANT = 0.7
"""A container of more than this share of the nodes gets no box: those inside it do."""


def boxed(boxes: Sequence[Box], nodes: Sequence[Node]) -> tuple[list[Cluster], list[Node]]:
    """Boxes of repeats, and of the outermost containers that part the network."""
    members = [0] * len(boxes)
    for node in nodes:
        around = node.cluster
        while around >= 0:
            members[around] += 1
            around = boxes[around].parent
    few = DOMINANT * len(nodes)
    clusters: list[Cluster] = []
    names: list[str] = []
    places: dict[int, int] = {-1: -1}
    for index, box in enumerate(boxes):
        around = places[box.parent]
        outermost = around < 0 and members[index] <= few
        if members[index] and (box.times > 1 or (outermost and members[index] > 1)):
            places[index] = len(clusters)
            names.append(box.name)
            above = f"{names[around]}." if around >= 0 else ""
            title = box.name.removeprefix(above) + box.last
            clusters.append(Cluster(title, box.times, around))
        else:
            places[index] = around
    return clusters, [replace(node, cluster=places[node.cluster]) for node in nodes]


def needed(clusters: Sequence[Cluster], nodes: Sequence[Node]) -> tuple[list[Cluster], list[Node]]:
    """Without the boxes of a single node that repeats nothing."""
    remaining: list[Cluster] = []
    places: dict[int, int] = {-1: -1}
    for index, cluster in enumerate(clusters):
        inside = [node for node in nodes if _is_in(clusters, node.cluster, index)]
        if len(inside) > 1 or cluster.times > 1:
            places[index] = len(remaining)
            remaining.append(replace(cluster, parent=places[cluster.parent]))
        else:
            places[index] = places[cluster.parent]
    return remaining, [replace(node, cluster=places[node.cluster]) for node in nodes]


def _is_in(clusters: Sequence[Cluster], cluster: int, other: int) -> bool:
    while cluster >= 0 and cluster != other:
        cluster = clusters[cluster].parent
    return cluster == other
