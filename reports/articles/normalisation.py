"""Normalisation layers on the same network."""

from __future__ import annotations

from collections.abc import Iterator

from archscope.records import Analysis, Totals, totals
from archscope.table import Axis, Chart, Column, Row, Series, Table
from archscope.units import percent, ratio, si
from archscope.wording import CONVENTION
from reports.data import Data
from reports.page import Figure, Page

NORMS = {"batch": "BatchNorm2d", "layer": "LayerNorm", "instance": "InstanceNorm2d",
         "group": "GroupNorm"}  # fmt: skip

COLUMNS = (
    Column("norm_layer", "Normalisation", "name"),
    Column("params", "Params of the network", "exact"),
    Column("norm_params", "Params of its norms", "exact"),
    Column("norm_buffers", "Buffers of its norms", "exact"),
    Column("norm_elementwise", "Elementwise of its norms", "count"),
    Column("elementwise", "Elementwise of the network", "count"),
    Column("macs", "MACs", "macs"),
)
OVER = {
    "batch": "each channel over the batch, H and W",
    "layer": "each sample over C, H and W",
    "instance": "each channel of each sample over H and W",
    "group": "32 groups of channels of each sample",
}


def name(norm: str) -> str:
    """Of the count."""
    return f"resnet50-norm-{norm}"


def own(analysis: Analysis, norm: str) -> Totals:
    """Totals of the normalisation layers alone."""
    return totals(layer for layer in analysis.layers if layer.kind == NORMS[norm])


def page(data: Data) -> Page:
    """What does each normalisation add to the same network?"""
    analyses = {norm: data.analysis(name(norm)) for norm in NORMS}
    norms = {norm: own(analysis, norm) for norm, analysis in analyses.items()}
    rows = []
    for norm, analysis in analyses.items():
        cells = (
            f"{norm}: {OVER[norm]}", analysis.total.params, norms[norm].params,
            norms[norm].buffers, norms[norm].elementwise, analysis.total.elementwise,
            analysis.total.macs,
        )  # fmt: skip
        rows.append(Row(cells))
    note = "In evaluation mode, where batch normalisation uses the statistics in its buffers."
    table = Table("ResNet-50 with four normalisations", COLUMNS, tuple(rows), (note, CONVENTION))
    return Page(
        slug="normalisation",
        title="Normalisation layers on one network",
        summary="parameters, buffers and elementwise work of batch, layer, instance and group "
        "norm.",
        question="ResNet-50 with each of the usual normalisations in place of every other: "
        "what does each add?",
        blocks=(table, Figure("normalisation", "Parameters of ResNet-50 by its normalisation",
                              (_chart(analyses, norms),))),
        findings=tuple(_findings(analyses, norms)),
        commands=(f"archscope sweep resnet --set stride_in=3x3 norm_layer={','.join(NORMS)}",),
    )  # fmt: skip


def _chart(analyses: dict[str, Analysis], norms: dict[str, Totals]) -> Chart:
    own_params = [norms[norm].params for norm in NORMS]
    others = [analyses[norm].total.params - norms[norm].params for norm in NORMS]
    return Chart(
        "Parameters of ResNet-50 by its normalisation",
        "stacked",
        Axis("Normalisation", "text"),
        Axis("Parameters", "count"),
        (
            Series("convolutions and linear layer", tuple(NORMS), tuple(map(float, others))),
            Series("normalisation layers", tuple(NORMS), tuple(map(float, own_params))),
        ),
    )


def _findings(analyses: dict[str, Analysis], norms: dict[str, Totals]) -> Iterator[str]:
    batch, layer = norms["batch"], norms["layer"]
    equal = [norm for norm in ("instance", "group") if norms[norm].params == batch.params]
    yield (
        f"Batch normalisation has {batch.params:,} parameters, a scale and a shift for each channel"
        + (f", and {' and '.join(equal)} normalisation as many." if equal else ".")
    )
    yield (
        f"Layer normalisation over C×H×W has a pair for every element: {layer.params:,}, "
        f"{ratio(layer.params / batch.params, 0)} as many, and "
        f"{percent(layer.params / analyses['layer'].total.params, 0)} of that network's "
        f"parameters; they also tie it to one input size."
    )
    without = [norm for norm, total in norms.items() if not total.buffers]
    yield (
        f"Only batch normalisation carries buffers ({batch.buffers:,}: running mean, variance and "
        f"a counter in each of {_count(analyses['batch'])} layers)."
        if len(without) == len(norms) - 1
        else f"No buffers are needed by {', '.join(without)} normalisation."
    )
    same = len({total.elementwise for total in norms.values()}) == 1
    yield (
        f"All four do the same elementwise work as counted here, one operation for each of "
        f"{si(batch.elementwise)} elements; batch normalisation takes its statistics from the "
        f"buffers, the others compute theirs from every input."
        if same
        else "Their elementwise work is "
        + ", ".join(f"{si(total.elementwise)} ({norm})" for norm, total in norms.items())
        + "."
    )


def _count(analysis: Analysis) -> int:
    return sum(layer.kind == NORMS["batch"] for layer in analysis.layers)
