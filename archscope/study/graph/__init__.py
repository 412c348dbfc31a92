"""A network's modules and the tensors between them → a diagram, repeats folded."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.graph import NetworkGraph
from archscope.diagram import Cluster, Diagram, Node
from archscope.study.graph.boxes import boxed, needed
from archscope.study.graph.chains import joined
from archscope.study.graph.folding import Folding
from archscope.study.graph.nodes import Drawing
from archscope.study.tree import Group, grouped
from archscope.table import Column, Report, Row, Table
from archscope.units import percent, plural
from archscope.wording import OWN_WORK, network_title

MOST_NODES = 90
"""Without `--depth`, modules are opened as deep as they can with this many nodes."""


def diagram(graph: NetworkGraph, *, depth: int | None = None, pattern: str = "") -> Diagram:
    """Draw a network, or one of its modules.

    Args:
        graph: what was followed.
        depth: levels of modules that are opened; as many as `MOST_NODES` allow when `None`.
        pattern: name or glob of the modules to draw; all when empty.

    Raises:
        ArchscopeError: the pattern matches no module.
    """
    forest = grouped(graph.analysis, unfold=True)
    deepest = max((_height(group) for group in forest), default=0)
    if depth is not None:
        return _drawn(graph, forest, depth, pattern)
    for level in range(deepest, 1, -1):
        made = _drawn(graph, forest, level, pattern)
        if len(made.nodes) <= MOST_NODES:
            return made
    return _drawn(graph, forest, 1, pattern)


COLUMNS = (
    Column("node", "Node", "exact"),
    Column("title", "What", "name"),
    Column("modules", "Modules", "text", 1),
    Column("output_shape", "Output", "text", 3),
    Column("macs", "MACs", "macs"),
    Column("macs_share", "Share", "percent", 2),
    Column("reads", "Reads", "text"),
)


def graph_report(graph: NetworkGraph, *, depth: int | None = None, pattern: str = "") -> Report:
    """The report of `archscope graph`: the drawing, and its nodes with what each reads.

    Args:
        graph: what was followed.
        depth: as for `diagram`.
        pattern: as for `diagram`.

    Raises:
        ArchscopeError: as `diagram`.
    """
    made = diagram(graph, depth=depth, pattern=pattern)
    reads: dict[int, list[int]] = {}
    for start, end in made.edges:
        reads.setdefault(end, []).append(start)
    rows = tuple(
        Row((
            place, _numbered(made.clusters, node), _modules(node) or None, node.shape or None,
            node.macs, node.share, ", ".join(map(str, reads.get(place, []))) or None,
        ))
        for place, node in enumerate(made.nodes)
    )  # fmt: skip
    table = Table(made.title, COLUMNS, rows, (REPEATS, READS))
    return Report(
        made.title, (table,), record=graph.analysis, drawing=lambda: made, answer=_answer(made)
    )


def _answer(made: Diagram) -> str:
    """How large the drawing is, what it folds, and where the work is."""
    largest = max(made.nodes, key=lambda node: node.share)
    folded = max((cluster.times for cluster in made.clusters), default=1)
    repeats = f", equal blocks folded up to ×{folded}" if folded > 1 else ""
    text = f"{made.title}: {plural(len(made.nodes), 'node')} and {plural(len(made.edges), 'edge')}"
    if not largest.share:
        return f"{text}{repeats}."
    share = percent(largest.share)
    where = f"{largest.title} ({_modules(largest)})" if largest.detail else largest.title
    return f"{text}{repeats}; the costliest node is {where} with {share} of the MACs."


def _modules(node: Node) -> str:
    """Its modules, with the name in the network: `layer1.0.conv1 · BN · ReLU`."""
    name = node.name.removesuffix(f" {OWN_WORK}")
    path = f".{name.partition(' (')[0]}"  # without which call it is: `pool (call 2)`
    members = node.detail.split(" · ") if node.detail else []
    own = next((at for at, each in enumerate(members) if path.endswith(f".{each}")), None)
    if own is None:
        members.insert(0, name)
    else:
        members[own] = name
    return " · ".join(members)


READS = "Reads: the nodes whose outputs it takes. A file .svg or .html has the drawing."

REPEATS = (
    "MACs are those of one block, shares those of all that repeat it; ×N stands before a node of N "
    "equal blocks that follow each other."
)


def _numbered(clusters: Sequence[Cluster], node: Node) -> str:
    """The title with how often its blocks repeat."""
    times, cluster = 1, node.cluster
    while cluster >= 0:
        times *= clusters[cluster].times
        cluster = clusters[cluster].parent
    return f"×{times} {node.title}" if times > 1 else node.title


def _height(group: Group) -> int:
    return 1 + max((_height(child) for child in group.children), default=-1)


def _drawn(graph: NetworkGraph, forest: Sequence[Group], depth: int, pattern: str) -> Diagram:
    folding = Folding(depth)
    folding.visit(forest, 0, -1, ())
    drawing = Drawing(graph, folding)
    nodes, edges = drawing.reduced(drawing.chosen(pattern))
    clusters, nodes = boxed(folding.boxes, nodes)
    nodes, edges = joined(nodes, edges)
    clusters, nodes = needed(clusters, nodes)
    analysis = graph.analysis
    title = f"{network_title(analysis.model, analysis.keywords)} on {analysis.input}"
    return Diagram(title, tuple(nodes), tuple(clusters), tuple(edges), (NOTE,))


NOTE = (
    "Colour: share of the network's multiply-accumulates, repeats together. "
    "A number beside a box: how many equal blocks follow each other."
)
