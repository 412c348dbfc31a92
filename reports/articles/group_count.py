"""The effect of the group count on ResNet-50."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from archscope.ask.groups.members import Member
from archscope.ask.groups.views import GroupSweep
from archscope.records import Analysis, totals
from archscope.study.groups import different_widths, file_name, group_report
from archscope.study.groups.charts import HELD
from archscope.study.groups.rows import PAPER_TOP1_ERROR
from archscope.table import Table
from archscope.units import percent, ratio
from reports.data import Data
from reports.page import Figure, Page
from reports.times import batches, comparison, measured_on

GROUPS = tuple(groups for groups, _ in PAPER_TOP1_ERROR["resnet50"])


def page(data: Data) -> Page:
    """What does it cost, and what does it change, to split the 3×3 convolutions into groups?"""
    sweep = data.group_sweep
    profiles = tuple(data.profiles(map(_job, sweep.counted("params"))).values())
    report = group_report(sweep, profiles)
    counts = ",".join(map(str, GROUPS))
    return Page(
        slug="group-count",
        title="The effect of the group count",
        summary="what splitting ResNet-50's 3×3 convolutions into groups saves, and what it costs.",
        question="ResNeXt splits the 3×3 convolutions of ResNet-50 into groups.\n"
        "What does that save at the same width, and what does it change when the width grows "
        "until the network costs as much as before?",
        blocks=(
            *batches(profiles),
            *(part for table in _of_one_image(report.tables) for part in _narrow(table)),
            Figure("group-count", "ResNet-50 over the group count, three views", report.charts),
        ),
        findings=(*_findings(sweep), *_times(data, sweep)),
        commands=(
            f"archscope sweep-groups {counts}  # the counts",
            f"archscope sweep-groups {counts} --time --batch 2 --device cpu  # the times",
        ),
        profiles=profiles,
    )


SUPPORTING = {
    "activation_bytes", "bytes_moved", "intensity", "forward_seconds", "forward_half_width",
    "forward_ratio", "backward_seconds", "backward_half_width", "backward_ratio", "top1_error",
}  # fmt: skip


def _narrow(table: Table) -> tuple[Table, ...]:
    """A table of counts and one of what follows from them, where one would be too wide."""
    keys = [column.key for column in table.columns]
    later = [key for key in keys if key in SUPPORTING]
    if len(keys) <= WIDEST or not later:
        return (table,)
    counts = table.select([key for key in keys if key not in SUPPORTING])
    names = [key for key in ("groups", "width_per_group") if key in keys]
    effects = table.select([*names, *later])
    return replace(counts, notes=()), replace(effects, title=f"{table.title}: bytes and times")


WIDEST = 12
"""Columns that a page shows side by side."""


def _of_one_image(tables: Sequence[Table]) -> Iterator[Table]:
    """Without the MACs of the batch that was timed, and the notes that the findings repeat."""
    for table in tables:
        if table.title == "MACs by output stride":
            continue
        notes = tuple(note for note in table.notes if "the two differ" not in note)
        yield replace(table, notes=notes)


def _findings(sweep: GroupSweep) -> Iterator[str]:
    base = sweep.base.analysis
    last = sweep.counted("none")[-1]
    own = totals(sweep.grouped_layers(base))
    kept = ratio(last.analysis.total.params / base.total.params)
    yield (
        f"At {HELD['none']} the grouped convolutions fall to exactly 1/{last.groups} of their "
        f"parameters and MACs, but the network keeps {kept} of its parameters, "
        f"since {percent(1 - own.params / base.total.params)} of them lie elsewhere."
    )
    yield from _equal_parameters(sweep, base)
    yield from different_widths(sweep)
    yield from _why(sweep)
    errors = PAPER_TOP1_ERROR["resnet50"]
    members = sweep.counted("params")
    yield (
        f"The paper's top-1 error falls with every step of this view, from "
        f"{errors[members[0].groups, members[0].width]} % to "
        f"{errors[members[-1].groups, members[-1].width]} % "
        f"(Xie et al. 2017, Table 3)."
    )


def _equal_parameters(sweep: GroupSweep, base: Analysis) -> Iterator[str]:
    member = sweep.counted("params")[-1]
    total = member.analysis.total
    widths = [sweep.grouped_layers(a)[0].setting("out_channels") for a in (base, member.analysis)]
    yield (
        f"At {HELD['params']}, {member.groups} groups of {member.width} channels widen the first "
        f"grouped convolution from {widths[0]} to {widths[1]} channels: the activations grow to "
        f"{ratio(total.activation_bytes / base.total.activation_bytes)} and the flops per byte "
        f"moved fall from {base.total.intensity:.1f} to {total.intensity:.1f}."
    )


def _why(sweep: GroupSweep) -> Iterator[str]:
    """Where the MACs of one more channel go, at the group count where the two views part."""
    by_macs = {member.groups: member for member in sweep.counted("macs")}
    for member in sweep.counted("params"):
        other = by_macs[member.groups]
        if other.width == member.width:
            continue
        wide, narrow = member.analysis, other.analysis
        added = [_added(wide, narrow, name) for name in ("layer2.0.conv1", "layer3.0.conv1",
                                                         "layer4.0.conv1")]  # fmt: skip
        params = wide.total.params - narrow.total.params
        macs = wide.total.macs - narrow.total.macs
        shares = sum(p for p, _ in added) / params, sum(m for _, m in added) / macs
        yield (
            f"The 1×1 convolutions that run ahead of each stage's stride are the main reason: of "
            f"what the wider channels add they hold {percent(shares[0])} of the parameters, but "
            f"{percent(shares[1])} of the MACs."
        )


def _times(data: Data, sweep: GroupSweep) -> Iterator[str]:
    members = sweep.counted("params")
    timed = data.profiles(map(_job, members))
    first, last = (timed.get(_job(member)) for member in (members[0], members[-1]))
    if first is None or last is None:
        return
    phases = {
        f"{phase} time": (last.phases.get(phase), first.phases.get(phase))
        for phase in ("forward", "backward")
    }
    taken = comparison(f"{members[-1].groups} groups", "take", "one group", phases)
    yield f"{measured_on(first)}, {taken}."


def _job(member: Member) -> str:
    return file_name(member.groups, member.width)


def _added(wide: Analysis, narrow: Analysis, name: str) -> tuple[int, int]:
    """Parameters and MACs that a layer gains."""
    before, after = (
        next(layer for layer in analysis.layers if layer.name == name)
        for analysis in (narrow, wide)
    )
    return after.params - before.params, after.macs - before.macs
