"""Where networks differ: by output stride, or by kind of work where there are no strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archscope.quantities import (
    ACTIVATIONS,
    MACS,
    PARAMS,
)
from archscope.study.compare.tables import LAYER_PHASES, NONE, PROFILED_NOTE
from archscope.study.families import FAMILIES, family_totals
from archscope.study.stages import ELSEWHERE, HEAD, NOT_RUN, in_order, stage_seconds, stages
from archscope.table import Column, Row, Table, Unit
from archscope.units import percent

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender


PLACES = {
    HEAD: "in the head",
    NOT_RUN: "in modules that never ran",
    ELSEWHERE: "outside every layer",
}

STRIDE_NOTE = (
    "Output stride: side of the input over side of a layer's output, to the nearest power of two; "
    "a layer whose output is a single position counts with the block around it, or in the head."
)
FAMILY_NOTE = (
    "Kind of work: of each module call, by the products that it computes, and by its class where "
    "it computes none; projections beside attention are linear where they are modules of their own."
)
OUTPUT_STRIDE, KIND_OF_WORK = "output stride", "kind of work"
NOTES = {OUTPUT_STRIDE: STRIDE_NOTE, KIND_OF_WORK: FAMILY_NOTE}
"""What is said below the tables of each division."""

SHARE_NOTE = "Shares are of the total difference and add up to 100 %; a negative share reduces it."


MACS_TITLE = "MACs"
DIVIDED = ((MACS_TITLE, MACS), (PARAMS.title, PARAMS), (ACTIVATIONS.title, ACTIVATIONS))
"""Quantities whose rows add up."""


@dataclass(frozen=True)
class Divided:
    """One quantity of every model, divided by where it is or by what it is.

    Args:
        title: `MACs`, or `Measured forward time`.
        values: of each model, by label; empty where it was not measured.
        phase: of a measured time.
        by: what the labels are: `OUTPUT_STRIDE` or `KIND_OF_WORK`.
    """

    title: str
    unit: Unit
    values: tuple[Mapping[str, float], ...]
    phase: str = ""
    by: str = OUTPUT_STRIDE

    @property
    def labels(self) -> list[str]:
        """The labels of all models in the order of a table."""
        found = dict.fromkeys(label for each in self.values for label in each)
        if self.by == OUTPUT_STRIDE:
            return in_order(found)
        return [family for family in FAMILIES if family in found]

    def place(self, label: str) -> str:
        """`at output stride 4`, `in the head`, `in attention`."""
        if self.by == OUTPUT_STRIDE:
            return PLACES.get(label, f"at output stride {label}")
        return "in linear layers" if label == "linear" else f"in {label}"


def by_stride(chosen: Sequence[Contender]) -> list[Divided]:
    """MACs, parameters, activations and measured times of every model by output stride."""
    found = [stages(contender.analysis) for contender in chosen]
    times = [{} if c.profile is None else stage_seconds(c.profile) for c in chosen]
    return [
        Divided(
            title,
            quantity.overview or quantity.unit,
            tuple({s.label: quantity.total(s.total) for s in rows} for rows in found),
        )
        for title, quantity in DIVIDED
    ] + [
        Divided(
            f"Measured {phase} time", "seconds", tuple(each.get(phase, {}) for each in times), phase
        )
        for phase in LAYER_PHASES
        if any(phase in each for each in times)
    ]


def by_kind_of_work(chosen: Sequence[Contender]) -> list[Divided]:
    """MACs, parameters and activations of every model by kind of work."""
    found = [family_totals(contender.analysis) for contender in chosen]
    return [
        Divided(
            title,
            quantity.overview or quantity.unit,
            tuple(
                {
                    family: amount
                    for family, total in each.items()
                    if (amount := quantity.total(total))
                }
                for each in found
            ),
            by=KIND_OF_WORK,
        )
        for title, quantity in DIVIDED
    ]


def divided(chosen: Sequence[Contender]) -> list[Divided]:
    """By output stride, and MACs by kind of work where there is attention.

    Networks without images or volumes among their inputs are divided by kind of work alone: a
    sequence has no resolution that falls.
    """
    kinds = by_kind_of_work(chosen)
    if not any(len(s) > 2 for c in chosen for s in c.analysis.input.sample_shapes):
        return kinds
    (macs,) = (kind for kind in kinds if kind.title == MACS_TITLE)
    return [*by_stride(chosen), *([macs] if "attention" in macs.labels else [])]


def stage_tables(chosen: Sequence[Contender], quantities: Sequence[Divided]) -> list[Table]:
    """Each quantity with the differences to the first model, and where the largest one is."""
    tables = [_stage_table(chosen, quantity) for quantity in quantities]
    meant = [NOTES[by] for by in dict.fromkeys(quantity.by for quantity in quantities)]
    last = replace(tables[-1], notes=(*tables[-1].notes, " ".join((*meant, SHARE_NOTE))))
    return [*tables[:-1], last]


def _time_notes(chosen: Sequence[Contender], phase: str, where: tuple[str, ...]) -> tuple[str, ...]:
    """Where the time goes, unless the whole phase shows no difference."""
    both = [c.measured(phase) for c in chosen]
    if len(both) == 2 and both[0] and both[1]:
        overlap, subject = both[0].overlaps(both[1]), f"Difference in total {phase} time"
        if overlap is None:
            why = both[0].no_interval or both[1].no_interval
            where = (f"{subject}: unknown, {why}.",)
        elif overlap:
            where = (f"{subject}: {NONE}, the intervals overlap.",)
    return (*where, PROFILED_NOTE)


def _stage_table(chosen: Sequence[Contender], quantity: Divided) -> Table:
    unit, values = quantity.unit, quantity.values
    columns = [Column(quantity.by.replace(" ", "_"), quantity.by.capitalize(), "name")]
    columns += [Column(contender.label, contender.label, unit) for contender in chosen]
    for index, contender in enumerate(chosen[1:]):
        name = "Difference" if len(chosen) == 2 else f"{contender.label} − {chosen[0].label}"
        columns += [
            Column(f"{contender.label} difference", name, unit, 1 + 2 * index),
            Column(f"{contender.label} share", "Share of it", "percent", 2 + 2 * index),
        ]
    sums = [sum(each.values()) if each else None for each in values]
    rows = [
        Row((label, *_differences([each.get(label) for each in values], sums)))
        for label in quantity.labels
    ]
    rows.append(Row(("Total", *_differences(sums, sums)), "total"))
    notes = _where(chosen, quantity)
    if quantity.phase:
        notes = _time_notes(chosen, quantity.phase, notes)
    return Table(f"{quantity.title} by {quantity.by}", tuple(columns), tuple(rows), notes)


def _differences(
    values: Sequence[float | None], sums: Sequence[float | None]
) -> tuple[float | None, ...]:
    """The values, then of each later model the difference to the first and its share."""
    cells: list[float | None] = list(values)
    for value, total in zip(values[1:], sums[1:], strict=True):
        if total is None or sums[0] is None:
            cells += [None, None]
            continue
        difference, overall = (value or 0) - (values[0] or 0), total - sums[0]
        cells += [difference, difference / overall + 0.0 if overall else None]  # no -0.0
    return tuple(cells)


def _where(chosen: Sequence[Contender], quantity: Divided) -> tuple[str, ...]:
    """Where the largest part of the difference between two models is, in a sentence."""
    values = quantity.values
    if len(chosen) != 2 or not all(values):
        return ()
    overall = sum(values[1].values()) - sum(values[0].values())
    gaps = {
        label: values[1].get(label, 0) - values[0].get(label, 0)
        for each in values
        for label in each
    }
    if not overall:
        return ()
    label = max(gaps, key=lambda label: gaps[label] / overall)
    place = quantity.place(label)
    share = percent(gaps[label] / overall, digits=0)
    return (f"The largest part of the difference is {place} ({share} of it).",)
