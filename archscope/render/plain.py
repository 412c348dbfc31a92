"""Table → CSV and JSON, with plain values: no units, no rounding, no indentation."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from archscope.inert import printable
from archscope.table import Cell, Table

TABLE_SCHEMA = 1

# What makes a formula of a cell, as it is and in the forms that a spreadsheet takes for it; also
# behind a semicolon, where a spreadsheet that splits there begins another cell.
_FORMULA = re.compile(r"(\A|;)(?=\s*[=+\-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻]|[\t\r])")
_NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%? *", re.ASCII)


def csv_text(table: Table) -> str:
    """Write a table as CSV under its column keys.

    What the layout says elsewhere gets columns of its own where it occurs: `row_kind`,
    `row_depth`, `unit`, `lower_bound` and `best` (the keys of the columns concerned).
    Text that a spreadsheet would run as a formula gets an apostrophe in front, unless it is a
    number, and control characters become escapes as on a terminal: `cat` and `diff` send a file
    there as it is.
    """
    extra = _extra_columns(table)
    keys: list[Cell] = [column.key for column in table.columns]
    lines = [[*keys, *(key for key, _ in extra)]]
    for index, row in enumerate(table.rows):
        lines.append([*row.cells, *(values[index] for _, values in extra)])
    return _csv_lines(lines)


def _csv_lines(lines: Iterable[Sequence[Cell]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([_csv_cell(value) for value in line] for line in lines)
    return stream.getvalue()


def _extra_columns(table: Table) -> list[tuple[str, list[Cell]]]:
    columns: list[tuple[str, list[Cell]]] = []
    if any(row.kind != "row" for row in table.rows):
        columns.append(("row_kind", [row.kind for row in table.rows]))
    if any(row.depth for row in table.rows):
        columns.append(("row_depth", [row.depth for row in table.rows]))
    if any(row.lower_bound for row in table.rows):
        columns.append(("lower_bound", [" ".join(sorted(row.lower_bound)) for row in table.rows]))
    if any(row.unit for row in table.rows):
        columns.append(("unit", [row.unit for row in table.rows]))
    if any(row.best for row in table.rows):
        columns.append(("best", [" ".join(sorted(row.best)) for row in table.rows]))
    return columns


def _csv_cell(value: Cell) -> Cell:
    if not isinstance(value, str):
        return value
    harmless = value if _NUMBER.fullmatch(value) else _FORMULA.sub(r"\1'", value)
    return printable(harmless)


def table_json(*tables: Table) -> str:
    """Write tables as one JSON object: title, columns with units, rows, notes of each."""
    data = {
        "archscope": "tables",
        "schema": TABLE_SCHEMA,
        "tables": [_table_data(table) for table in tables],
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _table_data(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [
            {"key": column.key, "title": column.title, "unit": column.unit}
            for column in table.columns
        ],
        "rows": [
            {
                "kind": row.kind,
                "depth": row.depth,
                "cells": _finite(row.cells),
                "lower_bound": sorted(row.lower_bound),
                "best": sorted(row.best),
                **({"unit": row.unit} if row.unit else {}),
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _finite(values: Sequence[Cell]) -> list[Cell]:
    """JSON has no infinity and no NaN: both become null."""
    return [
        None if isinstance(value, float) and not math.isfinite(value) else value for value in values
    ]
