r"""Table → LaTeX with booktabs; long tables break over pages with longtable."""

from __future__ import annotations

import re

from archscope.inert import printable
from archscope.render import cells
from archscope.table import Column, Row, Table

PAGE_ROWS = 40
"""A float holds no more rows than fit on one page."""

_CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}",
    "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}", "*": "{*}",
    "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "·": r"$\cdot$", "µ": r"$\mu$",
    "μ": r"$\mu$", "≈": r"$\approx$", "±": r"$\pm$", "−": "$-$", "→": r"$\to$",
    "∞": r"$\infty$", "²": r"$^{2}$", "–": "--", "—": "---", "…": r"\dots{}",
    "‘": "`", "’": "'", "“": "``", "”": "''",
}  # fmt: skip
_SPECIAL = re.compile("|".join(map(re.escape, _CHARACTERS)) + "|-(?=-)|[^\x00-\xff]")
_UNIT = re.compile(r"(?<=\d) (?=[A-Za-zµ%/]+\*?\Z)")


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is.

    Characters beyond Latin-1 that have no command stand as `[U+1F600]`, because pdfLaTeX stops
    at them.
    """
    return _SPECIAL.sub(_command, printable(text))


def _command(match: re.Match[str]) -> str:
    if match[0] == "-":  # two in a row would join into a dash
        return "-{}"
    return _CHARACTERS.get(match[0]) or f"{{[}}U+{ord(match[0]):04X}{{]}}"


def latex(table: Table) -> str:
    """Write a `table` (or, above 40 rows, a `longtable`) that needs booktabs and textcomp."""
    layout = "".join(
        "r" if index and (column.numeric or column.unit == "bar") else "l"
        for index, column in enumerate(table.columns)
    )
    heading = " & ".join(escaped(column.title) for column in table.columns) + r" \\"
    body = [
        _row(row, texts, table.columns, rule=bool(index))
        for index, (row, texts) in enumerate(zip(table.rows, cells.row_texts(table), strict=True))
    ]
    notes = [
        rf"{{\footnotesize {escaped(note)}\par}}" for note in cells.all_notes(table, table.columns)
    ]
    frame = _float if len(table.rows) <= PAGE_ROWS else _pages
    lines = frame(escaped(table.title), layout, heading, body, notes)
    return "\n".join(["% needs \\usepackage{booktabs,longtable,textcomp}", *lines]) + "\n"


def _float(
    title: str, layout: str, heading: str, body: list[str], notes: list[str]
) -> list[str]:  # fmt: skip
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{title}}}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        heading,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *([r"\par\smallskip", *notes] if notes else []),
        r"\end{table}",
    ]


def _pages(
    title: str, layout: str, heading: str, body: list[str], notes: list[str]
) -> list[str]:  # fmt: skip
    return [
        rf"\begin{{longtable}}{{{layout}}}",
        rf"\caption{{{title}}} \\",
        r"\toprule",
        heading,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        heading,
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *body,
        r"\end{longtable}",
        *notes,
    ]


def _row(row: Row, texts: list[str], columns: tuple[Column, ...], rule: bool) -> str:
    strong = row.kind in ("group", "total", "best")
    parts = [
        _cell(text, strong or column.key in row.best)
        for column, text in zip(columns, texts, strict=True)
    ]
    indent = rf"\hspace*{{{min(row.depth, cells.MAX_GUIDES)}em}}" if row.depth else ""
    line = indent + " & ".join(parts) + r" \\"
    return "\\midrule\n" + line if row.kind == "total" and rule else line


def _cell(text: str, strong: bool) -> str:
    body = r"\,".join(map(escaped, _UNIT.split(text)))
    return rf"\textbf{{{body}}}" if strong and body else body
