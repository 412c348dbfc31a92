"""The calls of an analysis as a forest of groups, equal neighbours folded into one."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from archscope.records import Analysis, Layer, Node, Totals, totals
from archscope.wording import OWN_WORK, call_title


@dataclass(frozen=True)
class Group:
    """A module call with its descendants, or `times` equal ones that follow each other."""

    layer: Layer
    label: str
    total: Totals
    children: tuple[Group, ...]
    signature: int
    times: int = 1
    unknown: bool = False


def grouped(analysis: Analysis, unfold: bool = False) -> tuple[Group, ...]:
    """The calls as a forest, equal neighbours folded unless `unfold`."""
    grouping = _Grouping(analysis, unfold)
    return grouping.folded([grouping.group(node) for node in analysis.tree()])


class _Grouping:
    """Builds groups from the leaves up, so that equal subtrees have one number each."""

    def __init__(self, analysis: Analysis, unfold: bool) -> None:
        self.unknown = frozenset(analysis.coverage.unknown_layers)
        self.unfold = unfold
        self.signatures: dict[object, int] = {}

    def group(self, node: Node, around: str = "") -> Group:
        """One call with everything below it; its total is the sum of those of its children."""
        layer = node.layer
        children = [self.group(child, layer.name) for child in node.children]
        if children and (layer.forward.operators or layer.params or layer.shared_params):
            children.append(self._leaf(layer, OWN_WORK))
        folded = self.folded(children)
        whole = _summed(folded) if folded else totals((layer,))
        key = (layer.kind, layer.settings, layer.input_shapes, layer.output_shapes,
               layer.shared_params, layer.called, layer.receptive_field, whole,
               tuple((child.signature, child.times) for child in folded))  # fmt: skip
        unknown = layer.name in self.unknown or any(child.unknown for child in folded)
        return Group(
            layer, _label(layer, around), whole, folded, self._number(key), unknown=unknown
        )

    def _leaf(self, layer: Layer, label: str) -> Group:
        number = self._number((label, layer.forward, layer.backward, layer.params))
        unknown = layer.name in self.unknown
        return Group(layer, label, totals((layer,)), (), number, unknown=unknown)

    def _number(self, key: object) -> int:
        return self.signatures.setdefault(key, len(self.signatures))

    def folded(self, groups: list[Group]) -> tuple[Group, ...]:
        """Equal neighbours as one group whose members are all of theirs."""
        if self.unfold:
            return tuple(groups)
        runs: list[list[Group]] = []
        for group in groups:
            if runs and runs[-1][-1].signature == group.signature:
                runs[-1].append(group)
            else:
                runs.append([group])
        return tuple(run[0] if len(run) == 1 else _merged(run) for run in runs)


def _merged(run: list[Group]) -> Group:
    """Equal groups as one; the numbers of each of its rows are sums over all of them."""
    first, last = run[0], run[-1]
    label = f"{first.label} … {_after(first.label, last.label)} ×{len(run)}"
    children = tuple(
        _merged_column(column) for column in zip(*(g.children for g in run), strict=True)
    )
    return Group(
        first.layer, label, _summed(run), children, first.signature, len(run), first.unknown
    )


def _merged_column(column: tuple[Group, ...]) -> Group:
    """The same row of several equal groups, under the first one's label."""
    first = column[0]
    children = tuple(
        _merged_column(rows) for rows in zip(*(g.children for g in column), strict=True)
    )
    return Group(
        first.layer,
        first.label,
        _summed(column),
        children,
        first.signature,
        first.times,
        first.unknown,
    )


def _summed(groups: Sequence[Group]) -> Totals:
    return functools.reduce(operator.add, (group.total for group in groups))


def _label(layer: Layer, around: str) -> str:
    """A layer's name below the call around it: `blocks.0`, where a `ModuleList` is between them."""
    name = layer.name.removeprefix(f"{around}.")
    if not layer.called:
        return f"{name} (not called)"
    return call_title(name, layer.kind, layer.call)


def _after(first: str, last: str) -> str:
    """What the last of several labels adds: `5` to `blocks.0`, `dec.1` to `enc.0`."""
    return last.removeprefix(f"{first.rpartition('.')[0]}.")
