"""Analysis → the tree of modules as a drawing to scale."""

from __future__ import annotations

from archscope.diagram import Block, Icicle
from archscope.records import Analysis
from archscope.study.families import family_of
from archscope.study.tree import Group, grouped
from archscope.wording import network_title


def icicle(analysis: Analysis) -> Icicle:
    """The modules of a network by their MACs; by their parameters where it has no MACs."""
    total = analysis.total
    key = "macs" if total.macs else "params"
    name = "MACs" if total.macs else "parameters"
    title = f"{network_title(analysis.model, analysis.keywords)} on {analysis.input}, by {name}"
    roots = tuple(_block(group, key) for group in grouped(analysis))
    return Icicle(title, "macs" if total.macs else "count", roots)


def _block(group: Group, key: str) -> Block:
    children = tuple(_block(child, key) for child in group.children)
    family = "container" if children else family_of(group.layer)
    return Block(group.label, float(getattr(group.total, key)), family, children)
