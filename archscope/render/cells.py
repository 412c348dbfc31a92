"""One cell as text: numbers by their unit, names made printable, trees as guides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from archscope import units
from archscope.inert import printable
from archscope.table import Cell, Column, Row, Table, Unit

UNKNOWN = "–"
BEST = "*"
BEST_NOTE = "* marks the best."
BAR_CELLS = 10
MAX_GUIDES = 24
"""Deeper rows share the last level's guides, so that a table's size stays linear in its rows."""

_ASCII = str.maketrans(
    {
        "–": "-", "—": "-", "×": "x", "≥": ">=", "µ": "u", "μ": "u", "…": "...", "·": ".",
        "−": "-", "²": "^2", "∞": "inf", "→": "->", "≈": "~", "≤": "<=", "±": "+-",
        "‘": "'", "’": "'", "“": '"', "”": '"', "─": "-",
    }
)  # fmt: skip


def ascii_safe(text: str) -> str:
    """The nearest ASCII text, for streams that carry nothing else."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def cell_text(value: Cell, unit: Unit) -> str:
    """Write one value as its unit asks; text under a numeric unit stays as it is."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else ("∞" if value > 0 else "-∞")
    return _number(value, unit)


def _number(value: int | float, unit: Unit) -> str:
    if unit in ("count", "macs"):
        return units.si(value)
    if unit == "bytes":
        return units.binary_bytes(value)
    if unit == "seconds":
        return units.seconds(value) if value else "0 s"
    if unit in ("percent", "bar"):
        return units.percent(value)
    if unit == "ratio":
        return units.ratio(value)
    if unit in ("flops_per_second", "bytes_per_second"):
        number = units.si(value)
        suffix = "FLOP/s" if unit == "flops_per_second" else "B/s"
        return number + suffix if number[-1].isalpha() else f"{number} {suffix}"
    if unit == "exact" and float(value).is_integer():
        return f"{int(value):,}"
    return _decimal(value)


def _decimal(value: int | float) -> str:
    """Whole numbers in full, others with four significant digits (three below 1)."""
    if isinstance(value, int) or value == 0:
        return f"{int(value):,}"
    if abs(value) < 1:
        return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"
    return f"{value:,.{max(0, 4 - len(str(int(abs(value)))))}f}"


def marked(row: Row, column: Column, text: str) -> str:
    """Add what the row says about this cell: `≥` before a lower bound, `*` behind the best."""
    if column.key in row.lower_bound and text != UNKNOWN:
        text = f"≥{text}"
    if column.key in row.best:
        text += BEST
    return text


def row_cell(row: Row, column: Column, value: Cell, first: bool) -> str:
    """One cell as people read it, marks included.

    Blank where nothing could stand: in a note without sums, and under text in a group or total.
    """
    if value is None and row.kind == "note":
        sums = any(isinstance(cell, int | float) for cell in row.cells)
        return UNKNOWN if sums and column.numeric else ""
    if value is None and row.kind in ("group", "total") and column.unit in ("text", "name"):
        return ""
    unit = row.unit if row.unit and column.unit == "decimal" else column.unit
    text = _sum_text(row, value, unit) or cell_text(value, unit)
    if isinstance(value, int | float):
        text = units.signed(text) if column.signed else text.replace("-", "−", 1)
    text = marked(row, column, text)
    return text + BEST if row.kind == "best" and first else text


def _sum_text(row: Row, value: Cell, unit: Unit) -> str:
    """A sum of equal numbers as `12 × 2,362,368`; empty where it is none."""
    if row.times == 1 or unit not in ("exact", "macs") or not isinstance(value, int) or not value:
        return ""
    one, rest = divmod(value, row.times)
    return "" if rest else f"{row.times} × {cell_text(one, unit)}"


def row_texts(table: Table) -> list[list[str]]:
    """Every row's cells as people read them, without indentation."""
    return [
        [
            row_cell(row, column, value, first=column is table.columns[0])
            for column, value in zip(table.columns, row.cells, strict=True)
        ]
        for row in table.rows
    ]


def all_notes(table: Table, columns: Iterable[Column]) -> list[str]:
    """The notes below a table: its own, those of these columns, and what `*` in them means."""
    shown = tuple(columns)
    keys = {column.key for column in shown}
    starred = any(row.kind == "best" or row.best & keys for row in table.rows)
    notes = [*table.notes, *(column.note for column in shown if column.note)]
    return [printable(note) for note in notes] + ([BEST_NOTE] if starred else [])


def guides(depths: Sequence[int], marks: tuple[str, str, str, str]) -> list[str]:
    """Draw the branches of a tree, one prefix a row.

    Args:
        depths: of the rows in order; rows of depth 0 are roots and get none.
        marks: through, blank, branch and last branch, all of one width.
    """
    through, blank, branch, last = marks
    prefixes: list[str] = []
    more_below: list[bool] = []  # by level: does a later sibling hang on the same branch?
    for depth in (min(depth, MAX_GUIDES) for depth in reversed(depths)):
        del more_below[depth + 1 :]
        more_below += [False] * (depth + 1 - len(more_below))
        stems = (through if more else blank for more in more_below[1:depth])
        prefixes.append(
            "".join(stems) + ("" if not depth else branch if more_below[depth] else last)
        )
        more_below[depth] = True
    return prefixes[::-1]


def bar(fraction: Cell, unicode: bool) -> str:
    """A bar of `BAR_CELLS` character cells; anything above nothing shows at least a sliver."""
    if not isinstance(fraction, (int, float)) or not fraction > 0:
        return " " * BAR_CELLS
    eighths = max(1, round(min(1.0, fraction) * BAR_CELLS * 8))
    if not unicode:
        return ("#" * max(1, round(eighths / 8))).ljust(BAR_CELLS)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]).ljust(BAR_CELLS)


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal; wide characters and emoji take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, width: int) -> list[str]:
    """Break at spaces into lines of at most `width` columns, inside a word only when it must.

    A shape then breaks between its sides.
    """
    lines, line, used = [], "", 0
    for word in text.split():
        size = cell_width(word)
        if line and used + 1 + size <= width:
            line, used = f"{line} {word}", used + 1 + size
            continue
        if line:
            lines.append(line)
        while size > width:
            head = _head(word, width)
            head = head[: head.rfind("×") + 1] or head
            lines.append(head)
            word = word[len(head) :]
            size = cell_width(word)
        line, used = word, size
    return [*lines, line] if line or not lines else lines


def shortened(text: str, width: int, ellipsis: str = "…") -> str:
    """Cut out of the middle, so that both ends of a dotted path stay readable."""
    if cell_width(text) <= width:
        return text
    room = max(2, width - len(ellipsis))
    head = _head(text, room // 2)
    tail = _head(text[::-1], room - cell_width(head))[::-1]
    return head + ellipsis + tail


def _head(text: str, width: int) -> str:
    """The longest beginning that fits, never empty."""
    sizes = accumulate(cell_width(character) for character in text)
    length = next((index for index, size in enumerate(sizes) if size > width), len(text))
    return text[: max(1, length)]
