"""The architecture table of the ResNet, ResNeXt and DenseNet papers, derived from the modules.

Rows are output strides, as in He et al. 2016 and Xie et al. 2017 (Table 1 each).
Where every network grows by concatenation, each dense block and each transition has its row, as in
Huang et al. 2017 (Table 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, zip_longest

from archscope.records import Analysis
from archscope.study.architecture.blocks import Item, items
from archscope.study.stages import HEAD, in_order
from archscope.table import Column, Row, Table
from archscope.units import si


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
        rates = [_dense_runs(each)[0][0].outputs for each in every]
        listed = [f"{name} k = {k}" for (name, _), k in zip(networks, rates, strict=True)]
        growth = f"k = {rates[0]}" if len(set(rates)) == 1 else ", ".join(listed)
        notes.append(
            f"Each conv in a block stands for its BN-ReLU-conv sequence; growth: {growth}."
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
        if label != HEAD and any(
            item.kind in ("convolution", "block") for each in here for item in each
        ):
            number += 1
            simple = all(len(each) == 1 and each[0].kind == "convolution" for each in here if each)
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
