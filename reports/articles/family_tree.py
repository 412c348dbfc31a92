"""From LeNet to DenseNet: what each network costs and reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from archscope.study.compare.charts import pareto_front
from archscope.table import Axis, Chart, Column, Row, Series, Table
from archscope.units import percent, ratio, si
from archscope.wording import CONVENTION
from reports.data import Data, device_of
from reports.page import Block, Figure, Page


@dataclass(frozen=True)
class Kin:
    """One network of the family.

    Args:
        name: of its count.
        label: as papers call it.
        year: of its paper.
        idea: what it brought.
    """

    name: str
    label: str
    year: int
    idea: str


FAMILY = (
    Kin("lenet5_1998", "LeNet-5", 1998, "convolution, subsampling, shared weights"),
    Kin("alexnet", "AlexNet", 2012, "depth, ReLU and dropout, on GPUs"),
    Kin("vgg16", "VGG-16", 2014, "blocks of 3×3 convolutions"),
    Kin("nin_imagenet", "NiN", 2014, "1×1 convolutions, global average pooling"),
    Kin("googlenet", "GoogLeNet", 2014, "parallel branches of several sizes"),
    Kin("resnet50", "ResNet-50", 2015, "blocks that learn a residual"),
    Kin("resnext50_32x4d", "ResNeXt-50", 2016, "grouped convolutions: cardinality"),
    Kin("densenet121", "DenseNet-121", 2016, "every layer reads all before it"),
)

COLUMNS = (
    Column("network", "Network", "name"),
    Column("year", "Paper", "text"),
    Column("idea", "What it brought", "text"),
    Column("depth", "Depth", "exact"),
    Column("params", "Params", "count"),
    Column("macs", "MACs", "macs"),
    Column("activation_bytes", "Activations", "bytes"),
    Column("intensity", "flops/byte", "decimal"),
    Column("top1", "Top-1", "percent"),
    Column("top5", "Top-5", "percent"),
)

COURSE = ("lenet", "alexnet_d2l", "vgg11_quarter_d2l", "nin_d2l", "googlenet_d2l", "resnet18_d2l",
          "densenet_d2l")  # fmt: skip
TIMED = (
    Column("network", "Network", "name"),
    Column("input", "Input", "text"),
    Column("params", "Params", "count"),
    Column("macs", "MACs per image", "macs"),
    Column("forward_seconds", "Forward", "seconds"),
    Column("backward_seconds", "Backward", "seconds"),
    Column("images_per_second", "Images/s", "exact"),
)


def page(data: Data) -> Page:
    """What did each network of the line bring, and at what cost?"""
    profiles = tuple(data.profiles(COURSE).values())
    course: tuple[Block, ...] = ()
    if profiles:
        course = (
            "The same line as a course trains it on Fashion-MNIST (*Dive into Deep Learning*), "
            "one training step measured:",
            _course_table(data),
        )
    return Page(
        slug="family-tree",
        title="The family tree from LeNet to DenseNet",
        summary="parameters, MACs, depth and published accuracy of eight networks in a line.",
        question="Each network of the line from LeNet to DenseNet brought one idea.\n"
        "What does each cost, and what did it reach?",
        blocks=(_table(data), Figure("family-tree", "Accuracy against cost", _charts(data)),
                *course),
        findings=tuple(_findings(data)),
        commands=tuple(f"archscope summary {kin.name}" for kin in FAMILY),
        profiles=profiles,
    )  # fmt: skip


def _table(data: Data) -> Table:
    rows = []
    for kin in FAMILY:
        total = data.analysis(kin.name).total
        cells = (
            kin.label, str(kin.year), kin.idea, data.depth(kin.name), total.params, total.macs,
            total.activation_bytes, total.intensity, data.top1(kin.name), data.top5(kin.name),
        )  # fmt: skip
        rows.append(Row(cells))
    notes = (
        "Counted as torchvision builds them today, which is not always as the paper of that year: "
        "its AlexNet is the single-tower one of Krizhevsky 2014, its GoogLeNet has batch "
        "normalisation, and its ResNet-50 strides in the 3×3 convolution. LeNet-5 and NiN are "
        "archscope's own.",
        "Depth: convolutions and linear layers on the longest path from input to output; the last "
        "layer of LeNet-5 is neither. Input: 1×32×32 for LeNet-5, 3×224×224 for all others.",
        f"Accuracy: one crop of ImageNet, from the metadata of torchvision's "
        f"{data.facts['published']['resnet50']['entry']} weights; NiN and LeNet-5 have none there.",
        CONVENTION,
    )
    return Table("Eight networks", COLUMNS, tuple(rows), notes)


def _known(data: Data) -> list[Kin]:
    return [kin for kin in FAMILY if data.top1(kin.name) is not None]


def _charts(data: Data) -> tuple[Chart, ...]:
    kinds: list[tuple[Axis, Callable[[str], int]]] = [
        (Axis("Forward MACs", "macs", log=True), lambda name: data.analysis(name).total.macs),
        (Axis("Parameters", "count", log=True), lambda name: data.analysis(name).total.params),
    ]
    made = []
    for axis, read in kinds:
        points = [(read(kin.name), data.top1(kin.name) or 0.0, kin.label) for kin in _known(data)]
        costs, accuracies, labels = zip(*points, strict=True)
        made.append(
            Chart(
                f"ImageNet top-1 against {axis.title.lower().replace('macs', 'MACs')}",
                "scatter",
                axis,
                Axis("ImageNet top-1", "percent"),
                (Series("networks", costs, accuracies, labels),),
                frontier=pareto_front(points),
            )
        )
    return tuple(made)


def _course_table(data: Data) -> Table:
    rows, devices = [], []
    for profile in data.profiles(COURSE).values():
        if profile.analysis is None:
            continue
        batch = profile.input.batch
        assert isinstance(batch, int)
        forward, backward = (profile.phases.get(phase) for phase in ("forward", "backward"))
        total = profile.analysis.total
        cells = (
            profile.model, str(profile.input), total.params, total.macs // batch,
            None if forward is None else forward.median,
            None if backward is None else backward.median,
            round(profile.throughput("step")) if "step" in profile.phases else None,
        )  # fmt: skip
        rows.append(Row(cells))
        devices.append(device_of(profile))
    note = f"Times: medians on {', '.join(dict.fromkeys(devices))}; images/s of a training step."
    return Table("A training step", TIMED, tuple(rows), (note,))


def _findings(data: Data) -> Iterator[str]:
    known = _known(data)
    total = {kin.label: data.analysis(kin.name).total for kin in FAMILY}
    front = pareto_front(
        [(total[kin.label].macs, data.top1(kin.name) or 0.0, kin.label) for kin in known]
    )
    yield f"No other network is at once cheaper in MACs and more accurate than {_listed(front)}."
    most, least = (
        pick(known, key=lambda kin: total[kin.label].params).label for pick in (max, min)
    )
    yield (
        f"Of the networks with a published accuracy {most} has the most parameters "
        f"({si(total[most].params)}) and {least} the fewest ({si(total[least].params)}), "
        f"{ratio(total[least].params / total[most].params)} of them."
    )
    costly = max(known, key=lambda kin: total[kin.label].macs).label
    deepest = max(FAMILY, key=lambda kin: data.depth(kin.name))
    best = max(known, key=lambda kin: data.top1(kin.name) or 0.0)
    yield (
        f"{costly} also needs the most MACs ({si(total[costly].macs)})"
        if costly == most
        else f"{costly} needs the most MACs ({si(total[costly].macs)})"
    ) + (
        f", while {best.label} is the most accurate ({percent(data.top1(best.name) or 0)}) with "
        f"{ratio(total[best.label].macs / total[costly].macs)} of them."
    )
    yield (
        f"{deepest.label} is the deepest, {data.depth(deepest.name)} layers, with "
        f"{ratio(total[deepest.label].params / total['ResNet-50'].params)} the parameters and "
        f"{ratio(total[deepest.label].macs / total['ResNet-50'].macs)} the MACs of ResNet-50."
    )


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
