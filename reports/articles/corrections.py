"""What popular course notes get wrong, each with the counted proof."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archscope.records import Analysis, Layer, totals
from archscope.table import Column, Row, Table
from archscope.units import ratio
from archscope.wording import shape_text
from reports.articles import normalisation
from reports.data import Data
from reports.page import Block, Page


def page(data: Data) -> Page:
    """Five claims of course notes, counted."""
    sections = (_lenet, _pooling, _kernels, _layer_norm, _one_over_g)
    return Page(
        slug="course-notes",
        title="What course notes get wrong",
        summary="five claims, each with the count that corrects it.",
        question="Some numbers and rules about networks do not hold when they are counted.\n"
        "Each of these is corrected by a count.",
        blocks=tuple(block for section in sections for block in section(data)),
        findings=(),
        commands=(
            "archscope explain lenet5",
            "archscope summary lenet5_1998",
            "archscope summary resnext50_32x4d --all",
            "archscope sweep resnet --set stride_in=3x3 norm_layer=batch,layer",
            "archscope sweep-groups 1,2,4,8,32 --equal none",
        ),
    )


def _layer(analysis: Analysis, name: str) -> Layer:
    return next(layer for layer in analysis.layers if layer.name == name)


def connections(*layers: Layer) -> int:
    """Multiplications and the additions of biases, as LeCun et al. 1998 count them."""
    return sum(layer.macs + _biases(layer) for layer in layers)


def _biases(layer: Layer) -> int:
    shape = layer.output_shape
    assert shape is not None
    return prod(int(side) for side in shape[1:]) if layer.setting("bias") else 0


def _lenet(data: Data) -> Iterator[Block]:
    dense = _layer(data.analysis("lenet5"), "conv2")
    published = data.analysis("lenet5_1998")
    sparse = [layer for layer in published.layers if layer.name.startswith("c3.maps")]
    yield "## LeNet's second convolution has 241,600 connections when it is dense, not 41,600"
    shape = shape_text(dense.output_shape[1:] if dense.output_shape else None)
    rows = (
        ("dense: every map reads all six", dense.params, dense.macs, connections(dense)),
        (
            "as published: each of 16 maps reads its choice",
            sum(layer.params for layer in sparse),
            sum(layer.macs for layer in sparse),
            connections(*sparse),
        ),
    )
    yield Table(
        f"C3 of LeNet-5, output {shape}",
        (Column("c3", "C3", "name"), Column("params", "Params", "exact"),
         Column("macs", "MACs", "exact"), Column("connections", "Connections", "exact")),
        tuple(Row(row) for row in rows),
        ("Connections count each bias once an output, as LeCun et al. 1998 do.",),
    )  # fmt: skip
    yield (
        f"The dense layer computes 16 · 10 · 10 outputs of 6 · 5 · 5 products and a bias: "
        f"{connections(dense):,} connections.\n"
        f"The figure that is copied has lost its first digit; the published layer, which is not "
        f"dense, has {connections(*sparse):,}."
    )


def _pooling(data: Data) -> Iterator[Block]:
    yield "## PyTorch's pooling rounds down unless ceil_mode is set"
    rows = []
    for name in ("pool-floor", "pool-ceil"):
        analysis = data.analysis(name)
        layer = analysis.layers[0]
        rows.append(
            Row(
                (
                    f"ceil_mode={layer.setting('ceil_mode')}",
                    shape_text(layer.input_shape),
                    shape_text(layer.output_shape),
                )
            )
        )
    yield Table(
        "MaxPool2d(kernel_size=3, stride=2)",
        (Column("mode", "Setting", "name"), Column("input", "Input"), Column("output", "Output")),
        tuple(rows),
    )
    floor, ceil = (data.analysis(name).layers[0].output_shape for name in
                   ("pool-floor", "pool-ceil"))  # fmt: skip
    assert floor is not None and ceil is not None
    yield (
        f"A 3×3 pooling with stride 2 makes {floor[-1]} of 112 places, and {ceil[-1]} only with "
        f"`ceil_mode=True`, which is how GoogLeNet reaches the {ceil[-1]} of its table."
    )


def _kernels(data: Data) -> Iterator[Block]:
    yield "## The groups of a convolution each have their own kernels"
    layer = _layer(data.analysis("resnext50_32x4d"), "layer1.0.conv2")
    groups, channels = layer.setting("groups"), layer.setting("out_channels")
    one = (channels // groups) ** 2 * 9
    rows = (
        ("one group, all channels", channels * channels * 9),
        (f"{groups} groups as counted", layer.params),
        ("one kernel set shared by all groups", one),
    )
    yield Table(
        f"The 3×3 convolution of ResNeXt-50's first block, {channels} channels",
        (Column("reading", "Reading", "name"), Column("params", "Params", "exact")),
        tuple(Row(row) for row in rows),
    )
    yield (
        f"PyTorch holds {layer.params:,} parameters = {groups} · {one}: each group of "
        f"{channels // groups} channels has {one} of its own.\n"
        f"Were the kernels shared there would be {one}; a group convolution is cheaper by "
        f"1/{groups}, not by 1/{groups}²."
    )


def _layer_norm(data: Data) -> Iterator[Block]:
    yield "## Layer norm over C×H×W has far more parameters than batch norm"
    norms = {
        norm: normalisation.own(data.analysis(normalisation.name(norm)), norm)
        for norm in ("batch", "layer")
    }
    yield Table(
        "All normalisation layers of ResNet-50 at 224×224",
        (Column("norm", "Normalisation", "name"), Column("params", "Params", "exact")),
        tuple(Row((norm, total.params)) for norm, total in norms.items()),
    )
    yield (
        f"Its scale and shift are learnt for every element, not for every channel: "
        f"{ratio(norms['layer'].params / norms['batch'].params, 0)} the parameters.\n"
        f"PyTorch's `GroupNorm(1, C)` takes the same statistics with the parameters of batch norm."
    )


def _one_over_g(data: Data) -> Iterator[Block]:
    yield "## “1/g” holds for the grouped convolution, not for the network"
    sweep = data.group_sweep
    base = sweep.base.analysis
    single = totals(sweep.grouped_layers(base))
    rows = []
    for member in sweep.counted("none"):
        own = totals(sweep.grouped_layers(member.analysis))
        rows.append(
            Row(
                (
                    member.groups,
                    own.params / single.params,
                    member.analysis.total.params / base.total.params,
                    member.analysis.total.macs / base.total.macs,
                )
            )
        )
    yield Table(
        "ResNet-50 with grouped 3×3 convolutions of the same width",
        (Column("groups", "Groups", "exact"),
         Column("grouped", "Params of the grouped convolutions", "ratio"),
         Column("params", "Params of the network", "ratio"),
         Column("macs", "MACs of the network", "ratio")),
        tuple(rows),
    )  # fmt: skip
    resnext = data.analysis("resnext50_32x4d").total
    yield (
        f"ResNeXt-50 has 32 groups, and {ratio(resnext.params / base.total.params)} the parameters "
        f"of ResNet-50: its grouped convolutions are twice as wide, and so are the 1×1 "
        f"convolutions around them."
    )
