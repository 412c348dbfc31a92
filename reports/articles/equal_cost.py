"""ResNet-50 against ResNeXt-50 at equal cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archscope.ask.contenders import Contender
from archscope.records import Analysis, Profile, Totals, totals
from archscope.study.compare import compare_report
from archscope.study.compare.tables import verdict
from archscope.table import Column, Row, Table
from archscope.units import percent, ratio, si
from reports.articles.unequal_time import published_ratios
from reports.data import Data, device_of
from reports.page import Figure, Page
from reports.times import batches, by_kind, comparison, gap, measured_on

NAMES = ("resnet50", "resnext50_32x4d")
JOBS = ("resnet50", "resnext50")

KINDS = (
    Column("convolutions", "Convolutions", "name"),
    Column("network", "Network", "name"),
    Column("params", "Params", "exact"),
    Column("macs", "MACs", "macs"),
    Column("macs_share", "Share of MACs", "percent"),
    Column("bytes_moved", "Bytes moved", "bytes"),
    Column("intensity", "flops/byte", "decimal"),
)


def page(data: Data) -> Page:
    """Two networks that cost the same; what differs, and is one slower?"""
    timed = data.profiles(JOBS)
    first, second = (
        _contender(data, name, timed.get(job)) for name, job in zip(NAMES, JOBS, strict=True)
    )
    report = compare_report((first, second))
    by_stride = [c for c in report.charts if c.kind == "bars" and c.y.unit in ("bytes", "seconds")]
    profiles = tuple(c.profile for c in (first, second) if c.profile is not None)
    return Page(
        slug="resnet50-vs-resnext50",
        title="ResNet-50 and ResNeXt-50: the same cost, another network",
        summary="what differs between two networks of equal MACs, and whether one is slower.",
        question="ResNet-50 and ResNeXt-50 (32×4d) are drawn up to cost the same.\n"
        "What differs, and is one of them slower?",
        blocks=(
            *batches(profiles),
            *(_without(table, verdict(first, second)) for table in report.tables),
            Figure(
                "resnet50-vs-resnext50",
                "Cost of ResNet-50 and ResNeXt-50 by output stride",
                (report.charts[0], *by_stride),
            ),
            kernels(first.analysis, second.analysis),
        ),
        findings=tuple(_findings(data, first, second)),
        commands=(
            "archscope compare resnet50 resnext50_32x4d  # the counts",
            "archscope compare resnet50 resnext50_32x4d --time --batch 4 --device cpu  # the times",
        ),
        profiles=profiles,
    )


def _without(table: Table, note: str) -> Table:
    """Leave out a note that the findings repeat."""
    return replace(table, notes=tuple(other for other in table.notes if other != note))


def _contender(data: Data, name: str, profile: Profile | None) -> Contender:
    return Contender(
        name, data.analysis(name), profile, data.top1(name), data.top5(name),
        data.facts["training_tensors"].get(name),
    )  # fmt: skip


def convolutions(analysis: Analysis, side: int) -> Totals:
    """Totals of all convolutions with one kernel size."""
    return totals(
        layer for layer in analysis.layers if layer.setting("kernel_size") == (side, side)
        and layer.kind == "Conv2d"
    )  # fmt: skip


def kernels(*networks: Analysis) -> Table:
    """The 1×1 and 3×3 convolutions of each network."""
    rows = []
    for side in (1, 3):
        for analysis in networks:
            own = convolutions(analysis, side)
            share = own.macs / analysis.total.macs
            cells = (
                f"{side}×{side}", analysis.model, own.params, own.macs, share, own.bytes_moved,
                own.intensity,
            )  # fmt: skip
            rows.append(Row(cells))
    return Table("The 1×1 and the 3×3 convolutions", KINDS, tuple(rows))


def _findings(data: Data, first: Contender, second: Contender) -> Iterator[str]:
    a, b = first.analysis.total, second.analysis.total
    yield (
        f"ResNeXt-50 has {ratio(b.params / a.params)} the parameters of ResNet-50 and "
        f"{ratio(b.macs / a.macs)} its MACs, but {ratio(b.activation_bytes / a.activation_bytes)} "
        f"its activations.{_speed(first, second)}"
    )
    yield verdict(first, second).replace(NAMES[0], "ResNet-50").replace(NAMES[1], "ResNeXt-50")
    before, after = (convolutions(c.analysis, 3) for c in (first, second))
    moved = ratio(after.bytes_moved / before.bytes_moved)
    yield (
        f"The flops per byte fall in the 3×3 convolutions: 32 groups cut their MACs from "
        f"{si(before.macs)} to {si(after.macs)}, while they move {moved} the bytes, "
        f"so each byte moved carries {after.intensity:.1f} flops instead of "
        f"{before.intensity:.1f}."
    )
    ones = [convolutions(c.analysis, 1) for c in (first, second)]
    shares = [own.macs / total.macs for own, total in zip(ones, (a, b), strict=True)]
    yield (
        f"The MACs saved there are spent in wider 1×1 convolutions, whose share rises from "
        f"{percent(shares[0])} to {percent(shares[1])}."
    )
    yield from _accuracy(data)
    yield from _times(first, second)
    ratios = published_ratios(data.unequal_time["published"], on_gpus=True)
    slower = sum(value > 1 for value in ratios)
    yield (
        f"On GPUs ResNeXt-50 is slower in {slower} of {len(ratios)} published times, by "
        f"{ratio(min(ratios))} to {ratio(max(ratios))}: the page on equal MACs and unequal time "
        "has them."
    )


def _accuracy(data: Data) -> Iterator[str]:
    one, two = (data.top1(name) for name in NAMES)
    if one is not None and two is not None:
        entry = data.facts["published"][NAMES[0]]["entry"]
        yield (
            f"What the other arrangement buys is accuracy: {percent(two, 2)} top-1 on ImageNet "
            f"after {percent(one, 2)} (torchvision's {entry} weights)."
        )


def _times(first: Contender, second: Contender) -> Iterator[str]:
    phases = {
        f"time for {what}": (second.measured(phase), first.measured(phase))
        for phase, what in (("inference", "inference"), ("step", "a training step"))
    }
    taken = comparison("ResNeXt-50", "takes", "ResNet-50", phases)
    if not taken or first.profile is None or second.profile is None:
        return
    yield f"{measured_on(first.profile)}, {taken}."
    kinds = ("3×3 convolution", "1×1 convolution")
    if _equally_fast(first, second):
        yield (
            "Single kinds of layers do differ in the profiled steps, one each way; what they take "
            "there has no interval:"
        )
        yield from by_kind("ResNeXt-50", first.profile, second.profile, kinds)
    else:
        yield from gap("ResNeXt-50", first.profile, second.profile, kinds)


def _equally_fast(first: Contender, second: Contender) -> bool:
    """Whether neither whole time shows a difference."""
    pairs = [(first.measured(phase), second.measured(phase)) for phase in ("inference", "step")]
    return all(one is not None and two is not None and one.overlaps(two) for one, two in pairs)


def _speed(first: Contender, second: Contender) -> str:
    if first.profile is None or not _equally_fast(first, second):
        return ""
    return f" On {device_of(first.profile)}, neither is measurably slower."
