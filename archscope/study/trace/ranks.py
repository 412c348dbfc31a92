"""Traces of several ranks of one job: what differs between them, and the slowest one by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from archscope.ask.profile.roofline import idle_share
from archscope.records import Profile
from archscope.study.trace import answer, step_seconds, trace_report
from archscope.table import Column, Report, Row, Table

COLUMNS = (
    Column("rank", "Rank", "exact"),
    Column("step_seconds", "Step", "seconds"),
    Column("layers_seconds", "Layers", "seconds"),
    Column("communication_seconds", "Communication", "seconds"),
    Column("optimizer_seconds", "Optimizer", "seconds", 1),
    Column("overlap_seconds", "Overlap", "seconds", 2),
    Column("idle_seconds", "Idle", "seconds"),
    Column("idle_share", "Idle share", "percent", 1),
)


def ranks_report(profiles: Mapping[int, Profile], *, every_layer: bool = False) -> Report:
    """The ranks beside each other, then the slowest one.

    Args:
        profiles: by rank.
        every_layer: list every layer instead of the slowest.
    """
    slowest = max(profiles, key=lambda rank: step_seconds(profiles[rank]))
    report = trace_report(profiles[slowest], every_layer=every_layer)
    said = f"{len(profiles)} ranks; rank {slowest} is the slowest: {answer(profiles[slowest])}."
    rows = tuple(Row(_cells(rank, profile)) for rank, profile in sorted(profiles.items()))
    note = "Overlap: time in which kernels of several streams ran at once, which counts once."
    table = Table("Ranks", COLUMNS, rows, (note, f"The tables below are of rank {slowest}."))
    return replace(report, tables=(table, *report.tables), answer=said)


def _cells(
    rank: int, profile: Profile
) -> tuple[int, float, float, float, float, float, float, float]:
    outside = {row.name: row.total_seconds for row in profile.layers if not row.in_network}
    return (
        rank,
        step_seconds(profile),
        sum(row.total_seconds for row in profile.layers if row.in_network),
        outside.get("[communication]", 0.0),
        outside.get("[optimizer]", 0.0),
        outside.get("[overlapping kernels]", 0.0),
        outside.get("[GPU idle / launch gap]", 0.0),
        idle_share(profile),
    )
