"""Table → a GitHub-flavoured Markdown table."""

from __future__ import annotations

import re

from archscope.inert import printable
from archscope.render import cells
from archscope.table import Row, Table

_PUNCTUATION = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no formula, no new cell.

    An underscore inside a word starts no emphasis and stays bare, so names stay readable.
    """
    text = _PUNCTUATION.sub(lambda match: "\\" + match[0], printable(text))
    return re.sub("[&<>]", lambda match: _ENTITIES[match[0]], text)


_BLOCK = re.compile(r"\A(\d{1,9}(?=[.)](?:\s|\Z))|(?=[-+=]))", re.ASCII)


def paragraph(text: str) -> str:
    """The same on a line of its own, where it begins no list, heading, rule or code."""
    return _BLOCK.sub(r"\1\\", escaped(" ".join(text.split())))


def markdown(table: Table) -> str:
    """Write title, table and notes; depth shows as leading dots, group and total rows bold."""
    from tabulate import tabulate

    body = [
        [
            _cell(row, text, first=index == 0, strong=column.key in row.best)
            for index, (column, text) in enumerate(zip(table.columns, texts, strict=True))
        ]
        for row, texts in zip(table.rows, cells.row_texts(table), strict=True)
    ]
    right = [column.numeric or column.unit == "bar" for column in table.columns]
    grid = tabulate(
        body,
        headers=[escaped(column.title) for column in table.columns],
        tablefmt="pipe",
        colalign=["right" if flag and index else "left" for index, flag in enumerate(right)]
        if body
        else None,
        disable_numparse=True,
    )
    parts = [
        f"**{escaped(table.title)}**",
        grid,
        *map(paragraph, cells.all_notes(table, table.columns)),
    ]
    return "\n\n".join(parts) + "\n"


def _cell(row: Row, text: str, first: bool, strong: bool) -> str:
    indent = "· " * min(row.depth, cells.MAX_GUIDES) if first else ""
    body = escaped(text)
    if body and (strong or row.kind in ("group", "total", "best")):
        body = f"**{body}**"
    return indent + body
