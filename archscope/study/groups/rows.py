"""The values of one row of a sweep over group counts, by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archscope.ask.groups.family import PER_GROUP
from archscope.ask.groups.members import Member
from archscope.ask.groups.views import GroupSweep, Uncounted
from archscope.quantities import (
    ACTIVATIONS,
    BYTES_MOVED,
    INTENSITY,
    MACS,
    MACS_BACKWARD,
    PARAMS,
)
from archscope.records import Measurement, Profile, totals
from archscope.study.compare.tables import time_ratio
from archscope.study.groups.measured import measured
from archscope.study.sweep import predicted_cells, predicted_columns
from archscope.table import Cell, Column
from archscope.units import ratio

if TYPE_CHECKING:
    from archscope.ask.groups.times import PredictedTimes

PAPER_TOP1_ERROR = {
    "resnet50": {(1, 64): 23.9, (2, 40): 23.0, (4, 24): 22.6, (8, 14): 22.3, (32, 4): 22.2},
    "resnet101": {(1, 64): 22.0, (2, 40): 21.7, (4, 24): 21.4, (8, 14): 21.3, (32, 4): 21.2},
}
"""ImageNet top-1 error in percent by (groups, width per group): Xie et al. 2017, Table 3."""

COLUMNS = (
    Column("groups", "Groups", "exact"),
    Column("width", "Width", "exact"),
    Column("group_conv_width", "Group conv width", "exact", 3),
    PARAMS.column(),
    Column("params_ratio", "Params ×", "ratio", 4),
    MACS.column(),
    Column("macs_ratio", "MACs ×", "ratio", 2),
    MACS_BACKWARD.column(6),
    Column("group_conv_params_ratio", "Group conv params", "exact", 1),
    Column("group_conv_macs_ratio", "Group conv MACs", "exact", 1),
    ACTIVATIONS.column(3),
    BYTES_MOVED.column(7),
    INTENSITY.column(8),
    Column("forward_seconds", "Forward time", "seconds", 1),
    Column("forward_half_width", "Forward ±", "percent", 4),
    Column("forward_ratio", "Forward time ×", "text", 1),
    Column("backward_seconds", "Backward time", "seconds", 1),
    Column("backward_half_width", "Backward ±", "percent", 4),
    Column("backward_ratio", "Backward time ×", "text", 1),
    Column("top1_error", "Top-1 error", "percent", 2),
    Column("problem", "Problem"),
)
SHOWN = (PARAMS, MACS, MACS_BACKWARD, ACTIVATIONS, BYTES_MOVED, INTENSITY)
TIMED = ("forward", "backward")


def row_values(
    sweep: GroupSweep, member: Member | Uncounted, profiles: Sequence[Profile]
) -> dict[str, Cell]:
    """Every value of one row by its column."""
    row: dict[str, Cell] = dict.fromkeys(column.key for column in COLUMNS)
    row |= {"groups": member.groups, "width": member.width}
    if isinstance(member, Uncounted):
        return {**row, "problem": member.error.problem}
    analysis = member.analysis
    base, total = sweep.base.analysis.total, analysis.total
    for quantity in SHOWN:
        row[quantity.key] = None if quantity.read is None else quantity.read(total)
    for quantity in (PARAMS, MACS):
        row[f"{quantity.key}_ratio"] = quantity.total(total) / quantity.total(base)
    grouped = sweep.grouped_layers(analysis)
    if grouped:
        row["group_conv_width"] = grouped[0].setting("out_channels")
        own, single = totals(grouped), totals(sweep.grouped_layers(sweep.single.analysis))
        row["group_conv_params_ratio"] = own.params / single.params
        row["group_conv_macs_ratio"] = own.macs / single.macs
    for phase in TIMED:
        row |= _times(phase, measured(analysis, phase, profiles),
                      measured(sweep.base.analysis, phase, profiles))  # fmt: skip
    error = paper_error(sweep, member)
    row["top1_error"] = None if error is None else error / 100
    return row


def predicted_values(
    sweep: GroupSweep, member: Member | Uncounted, predicted: PredictedTimes
) -> dict[str, Cell]:
    """The predicted steps of a member, beside those of the base."""
    first = predicted.get((sweep.base.groups, sweep.base.width), ())
    known = member.width is not None and not isinstance(member, Uncounted)
    found = predicted.get((member.groups, member.width or 0), ()) if known else ()
    cells: dict[str, Cell] = {}
    for base, time in zip(first, found or (None,) * len(first), strict=True):
        keys = (column.key for column in predicted_columns((base,)))
        cells |= dict(zip(keys, predicted_cells(base, time), strict=True))
    return cells


def _times(phase: str, own: Measurement | None, base: Measurement | None) -> dict[str, Cell]:
    """Median, interval and ratio to the base's median of one phase."""
    if own is None:
        return {}
    quotient = time_ratio(own, base)
    return {
        f"{phase}_seconds": own.median,
        f"{phase}_half_width": own.known_half_width,
        f"{phase}_ratio": ratio(quotient) if isinstance(quotient, float) else quotient,
    }


def paper_error(sweep: GroupSweep, member: Member) -> float | None:
    """The paper's figure, where this is the paper's network."""
    analysis = sweep.base.analysis
    if sweep.by != PER_GROUP:
        return None
    keywords = dict(analysis.keywords)
    depth = keywords.pop("depth", "50")
    for swept in ("groups", PER_GROUP):
        keywords.pop(swept, None)
    if keywords:
        return None
    name = f"resnet{depth}" if analysis.model == "resnext" else analysis.model
    return PAPER_TOP1_ERROR.get(name, {}).get((member.groups, member.width))
