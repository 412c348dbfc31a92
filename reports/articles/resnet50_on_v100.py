"""ResNet-50 on a V100, from a trace that others recorded and published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from archscope.ask.profile.roofline import counted_calls, idle_share, layer_points, roofs
from archscope.records import LayerTime, Profile
from archscope.study.profile.launches import launch_bound
from archscope.study.profile.stages import StageTime, stage_times
from archscope.study.trace import trace_report
from archscope.table import Column, Row, Table
from archscope.units import percent, ratio, seconds
from reports.data import Data
from reports.page import Figure, Page

TRACE = "traced-resnet50-v100"
"""The Profile that `archscope trace` made of the file, under `data/`."""

SOURCE = (
    "The trace is `tb_plugin/samples/resnet50_num_workers_0` of "
    "[pytorch/kineto](https://github.com/pytorch/kineto), as it was there until 2026 (BSD-3): "
    "torchvision's ResNet-50 in float32 with SGD, batch 32, recorded by its authors with PyTorch "
    "1.9 on a Tesla V100-DGXS-32GB.\n"
    "The file names no modules. Its operators were matched with those of the network in their "
    "order, each backward node with its forward operator by autograd's number, and each kernel "
    "with the operator that launched it."
)

BY_KIND = (
    Column("kind", "Layers", "name"),
    Column("forward_seconds", "Forward", "seconds"),
    Column("backward_seconds", "Backward", "seconds"),
    Column("time_share", "Time of layers", "percent"),
    Column("macs_share", "MACs", "percent"),
)

BACKWARD = ("backward", "accumulation")


def page(data: Data) -> Page:
    """Which layers does the time go to, and would their MACs have said so?"""
    profile = data.traced(TRACE)
    report = trace_report(profile)
    *tables, environment = report.tables
    assert environment.title == "Measured with"
    return Page(
        slug="resnet50-on-v100",
        title="ResNet-50 on a V100, layer by layer",
        summary="where a training step's time goes, forward and backward, from a public trace, "
        "and what MACs would have said.",
        question="Which layers does a training step of ResNet-50 spend its time on, forward and "
        f"backward?\nWould their MACs have said so?\n\n{SOURCE}\n\n{report.answer}",
        blocks=(
            *tables,
            by_kind(profile),
            Figure(
                "resnet50-on-v100",
                "Roofline, time by stage, and time beside MACs by stage of ResNet-50 on a V100",
                report.charts,
            ),
        ),
        findings=tuple(_findings(profile)),
        commands=(
            f"archscope trace resnet50.json.gz --model resnet50 -o reports/data/{TRACE}.json",
        ),
    )


@dataclass(frozen=True)
class _Layers:
    """Rows of one kind of layer together."""

    forward: float
    backward: float
    macs: int

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


def _kinds(profile: Profile) -> Mapping[str, _Layers]:
    """The network's layers by class, those that take longest first."""
    assert profile.analysis is not None
    calls = counted_calls(profile)
    forward: dict[str, float] = defaultdict(float)
    backward: dict[str, float] = defaultdict(float)
    macs: dict[str, int] = defaultdict(int)
    for row in _layers(profile):
        layer = calls[row.name, row.call]
        kind = "additions of the shortcuts" if row.kind == "Bottleneck" else row.kind
        forward[kind] += row.seconds.get("forward", 0.0)
        backward[kind] += sum(row.seconds.get(phase, 0.0) for phase in BACKWARD)
        macs[kind] += layer.macs + (layer.macs_backward or 0)
    found = {kind: _Layers(forward[kind], backward[kind], macs[kind]) for kind in forward}
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))


def _layers(profile: Profile) -> list[LayerTime]:
    return [row for row in profile.layers if row.in_network]


def by_kind(profile: Profile) -> Table:
    """Time and MACs of each kind of layer."""
    kinds = _kinds(profile)
    time = sum(kind.seconds for kind in kinds.values())
    macs = sum(kind.macs for kind in kinds.values())
    rows = [
        Row((name, kind.forward, kind.backward, kind.seconds / time, kind.macs / macs))
        for name, kind in kinds.items()
    ]
    return Table("Time and MACs by kind of layer", BY_KIND, tuple(rows))


def _findings(profile: Profile) -> Iterator[str]:
    yield from _waiting(profile)
    yield from _by_kind(profile)
    yield from _by_stage(profile)
    yield from _backward(profile)
    yield from _at_the_roof(profile)


def _waiting(profile: Profile) -> Iterator[str]:
    step = sum(row.total_seconds for row in profile.layers)
    longest = max(profile.layers, key=lambda row: row.waiting_seconds)
    bound = launch_bound(profile)
    yield (
        f"For {percent(idle_share(profile))} of the {seconds(step)} of a step the GPU waits; "
        f"{seconds(longest.waiting_seconds)} of it comes before {longest.name}, which is the data "
        f"loader: the sample reads its images in the training process. Before the layers that are "
        f"launch-bound it waits for {seconds(sum(row.waiting_seconds for row in bound))}."
    )


def _by_kind(profile: Profile) -> Iterator[str]:
    kinds = _kinds(profile)
    time = sum(kind.seconds for kind in kinds.values())
    macs = sum(kind.macs for kind in kinds.values())
    first = kinds["Conv2d"]
    others = {name: kind for name, kind in kinds.items() if kind.macs == 0}
    rest = sum(kind.seconds for kind in others.values())
    yield (
        f"The convolutions have {percent(first.macs / macs)} of the MACs and "
        f"{percent(first.seconds / time)} of the layers' time: layers without a single MAC, batch "
        f"normalisation before all ({percent(kinds['BatchNorm2d'].seconds / time)}), take "
        f"{percent(rest / time)}."
    )


def _by_stage(profile: Profile) -> Iterator[str]:
    stages = [stage for stage in stage_times(profile) if stage.macs]
    time = sum(row.total_seconds for row in _layers(profile))
    macs = sum(stage.macs or 0 for stage in stages)
    cost = {
        stage.name: (stage.total_seconds / time) / ((stage.macs or 0) / macs)
        for stage in stages
        if stage.name.startswith("layer")
    }
    dearest, cheapest = max(cost, key=lambda n: cost[n]), min(cost, key=lambda n: cost[n])
    yield (
        f"By MACs {dearest} would be {percent(_share(stages, dearest, macs))} of the work and "
        f"takes {ratio(cost[dearest], 2)} that share of the layers' time; {cheapest} "
        f"{percent(_share(stages, cheapest, macs))} and {ratio(cost[cheapest], 2)}: a MAC on large "
        f"feature maps, which carry more normalisation and more bytes, costs "
        f"{ratio(cost[dearest] / cost[cheapest], 2)} one on small ones."
    )


def _share(stages: Sequence[StageTime], name: str, macs: int) -> float:
    return next(stage.macs or 0 for stage in stages if stage.name == name) / macs


def _backward(profile: Profile) -> Iterator[str]:
    kinds = _kinds(profile).values()
    forward, backward = sum(k.forward for k in kinds), sum(k.backward for k in kinds)
    assert profile.analysis is not None
    total = profile.analysis.total
    counted = (total.macs_backward or 0) / total.macs
    yield (
        f"Backward takes {ratio(backward / forward, 2)} the time of forward, gradient additions "
        f"included, and has {ratio(counted, 2)} its MACs."
    )


def _at_the_roof(profile: Profile) -> Iterator[str]:
    limits = roofs(profile)
    assert limits is not None
    points = [point for _, point in layer_points(profile)]
    shortest = sum(limits.compute_seconds(p) for p in points)
    either = sum(max(limits.compute_seconds(p), limits.memory_seconds(p)) for p in points)
    taken = sum(point.seconds for point in points)
    yield (
        f"At the data sheet's peak the arithmetic alone would take {seconds(shortest)}, with the "
        f"memory's roof {seconds(either)}; the layers take {seconds(taken)}, so the roofline tells "
        f"{percent(either / taken)} of the time and MACs {percent(shortest / taken)}."
    )
