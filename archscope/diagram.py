"""What a drawing of a network shows: modules, the tensors between them, and what repeats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A module, several that follow each other as one, or operators of a container.

    Args:
        name: of the part that it stands for, as on a page; empty for the network's input.
        title: what it is: `3×3 convolution, 128 /2`.
        detail: names of its modules.
        shape: of what it hands on.
        macs: multiply-accumulates of one copy.
        share: of the network's multiply-accumulates, all copies together.
        family: what kind of layer it is, as on a page.
        cluster: index of the innermost cluster around it, -1 for none.
    """

    name: str
    title: str
    detail: str
    shape: str
    macs: int
    share: float
    family: str
    cluster: int = -1


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes drawn within one box.

    Args:
        title: name of the container, or the first and last of several equal ones.
        times: how many equal ones it stands for.
        parent: index of the cluster around it, -1 for none.
    """

    title: str
    times: int = 1
    parent: int = -1


@dataclass(frozen=True, slots=True)
class Diagram:
    """A network as a graph without cycles.

    Args:
        title: names the network.
        nodes: in an order of execution.
        clusters: an outer one before those inside.
        edges: indices of the node that makes a tensor and of the one that reads it.
        notes: sentences below the drawing.
    """

    title: str
    nodes: tuple[Node, ...]
    clusters: tuple[Cluster, ...]
    edges: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One module of an icicle, or several equal ones that follow each other.

    Args:
        label: its name within the module around it.
        amount: what it costs, children included.
        family: what kind of layer it is; `container` where it has children.
        children: inside it, in order of execution.
    """

    label: str
    amount: float
    family: str
    children: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Icicle:
    """A tree of modules whose widths are to scale.

    Args:
        title: names the network and the amount.
        unit: how amounts read: a unit of `archscope.table`.
        roots: as blocks.
    """

    title: str
    unit: str
    roots: tuple[Block, ...]
