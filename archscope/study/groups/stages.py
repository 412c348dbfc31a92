"""A sweep over group counts with its measured layers → where in the network the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archscope.ask.contenders import Contender
from archscope.records import Profile
from archscope.study.compare.places import STRIDE_NOTE, Divided, by_stride
from archscope.study.compare.tables import PROFILED_NOTE
from archscope.table import Column, Row, Table


def stage_tables(by: str, measured: Mapping[tuple[int, int], Profile]) -> list[Table]:
    """MACs, forward and backward time by output stride, a column for each network.

    Args:
        by: the width keyword.
        measured: by group count and width; without layers or a count it gets no column.
    """
    chosen = [
        Contender(f"{groups} × {width}", profile.analysis, profile)
        for (groups, width), profile in measured.items()
        if profile.analysis is not None and profile.layers
    ]
    if len(chosen) < 2:
        return []
    shown = [
        quantity for quantity in by_stride(chosen) if quantity.phase or quantity.unit == "macs"
    ]
    tables = [_table(chosen, quantity) for quantity in shown]
    inputs = dict.fromkeys(str(member.analysis.input) for member in chosen)
    columns = f"Columns: groups × {by}, on {', '.join(inputs)}. {STRIDE_NOTE}"
    return [*tables[:-1], replace(tables[-1], notes=(PROFILED_NOTE, columns))]


def _table(chosen: Sequence[Contender], quantity: Divided) -> Table:
    columns = [Column("output_stride", "Output stride", "name")]
    columns += [Column(member.label, member.label, quantity.unit) for member in chosen]
    rows = [
        Row((label, *(each.get(label) for each in quantity.values))) for label in quantity.labels
    ]
    rows.append(Row(("Total", *(sum(each.values()) for each in quantity.values)), "total"))
    return Table(f"{quantity.title} by output stride", tuple(columns), tuple(rows))
