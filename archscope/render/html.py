"""Tables and charts → one self-contained page; a table → a fragment for notebooks.

Every text is escaped, figures are images, and the page's policy forbids outside sources and every
script but the one that sorts tables, which a page without such a table lacks.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib import resources

from archscope.inert import printable
from archscope.render import cells, derivation
from archscope.table import Cell, Chart, Column, Report, Row, Table

# Colours derive from the text's own, so the fragment suits a light and a dark notebook.
TABLE_STYLE = """\
.archscope { position: relative; overflow-x: auto; font-variant-numeric: tabular-nums; }
.archscope table { border-collapse: collapse; color: inherit; background: none; }
.archscope caption { text-align: left; font-weight: 600; padding: .4em 0; color: inherit; }
.archscope th, .archscope td { padding: .18em .6em; text-align: left; vertical-align: top;
  white-space: nowrap; color: inherit; background: none; }
.archscope .text { white-space: normal; max-width: 31em; }
.archscope .number { text-align: right; }
.archscope thead th { border-bottom: 1px solid currentColor; vertical-align: bottom;
  white-space: normal; }
.archscope tbody tr { border-bottom: 1px solid rgba(128, 128, 128, .25); }
.archscope tbody th { font-weight: normal; }
.archscope tr.group > *, .archscope tr.total > *, .archscope tr.best > * { font-weight: 600; }
.archscope tr.total { border-top: 2px solid currentColor; }
.archscope tr.note > * { opacity: .75; }
.archscope tr.added > * { background: rgba(0, 158, 115, .16); }
.archscope tr.removed > * { background: rgba(213, 94, 0, .16); }
.archscope .best-cell { font-weight: 600; text-decoration: underline; }
.archscope .track { display: inline-block; width: 6em; height: .7em; margin-left: .5em;
  background: rgba(128, 128, 128, .2); }
.archscope .fill { display: block; height: 100%; background: #0072b2;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.archscope .notes { font-size: .85em; opacity: .85; max-width: 60em; white-space: normal; }
.archscope .notes p { margin: .3em 0; }
.archscope thead button { all: unset; cursor: pointer; }
.archscope thead button:hover { text-decoration: underline; }
.archscope thead button:focus-visible { outline: 2px solid; outline-offset: 2px; }
/* In the space between two columns, so that a number stays below its heading. */
.archscope thead button::after { position: absolute; font-size: .75em; line-height: 2; }
.archscope th[aria-sort=none] button::after { content: "↕"; opacity: .45; }
.archscope th[aria-sort=ascending] button::after { content: "↑"; }
.archscope th[aria-sort=descending] button::after { content: "↓"; }
"""
_PAGE_STYLE = """\
:root { color-scheme: light dark; }
body { --paper: #fff; margin: 1.5em auto; padding: 0 1em; max-width: 80em;
  background: var(--paper); color: #1a1a1a;
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35em; }
.answer { font-size: 1.1em; max-width: 45em; }
figure { display: inline-block; margin: 1.5em 1em 0 0; max-width: 100%; vertical-align: top; }
@media print, (min-width: 60em) { figure:not(:only-of-type) { width: calc(50% - 1.5em); }
  figure:last-of-type:nth-of-type(odd):not(:only-of-type) { display: block; margin-inline: auto; } }
.repeated { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
figure img { max-width: 100%; height: auto; }
.archscope { margin: 1.5em 0; }
@media screen and (min-width: 48em) { .archscope caption { white-space: nowrap; width: 0; } }
@media screen and (max-width: 48em) { body { padding: 0 .7em; } h1 { font-size: 1.2em; }
  .archscope table { font-size: .9em; width: max-content; }
  .archscope .text { max-width: 21em; }
  .archscope caption { width: calc(100vw - 2em); }
  .archscope thead th:first-child, .archscope tbody th { position: sticky; left: 0;
    background: var(--paper); }
  figure { display: block; margin-right: 0; overflow-x: auto; }
  figure img { max-width: none; width: 31em; } }
@media (prefers-color-scheme: dark) { body { --paper: #14161a; color: #e4e4e4; }
  .archscope .fill { background: #56b4e9; } }
@media print { body { --paper: #fff; margin: 0; max-width: none; color: #000;
  font-size: 9pt; } .archscope { overflow: visible; } thead { display: table-header-group; }
  .archscope th[aria-sort=none] button::after { content: none; }
  tr, figure { break-inside: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

LONG_TEXT = 24
"""Letters from which on a text may break into lines, so that no short one does."""

LIST_ROWS = 3
"""Rows from which on a table without subtotals is one to sort."""


def html(report: Report) -> str:
    """Write a page that needs no other file, for light and dark screens and for print."""
    title, derivations = report.title, report.derivations
    script = sorting() if any(map(sortable, report.tables)) else ""
    policy = _POLICY + (f"; script-src {script_hash(script)}" if script else "")
    body = [
        f"<h1>{_text(title)}</h1>",
        *([f'<p class="answer">{_text(report.answer)}</p>'] if report.answer else []),
        *map(derivation.html, derivations),
        *(table_html(table, repeated=table.title == title) for table in report.tables),
        *map(figure_html, report.charts),
        *([f"<script>{script}</script>"] if script else []),
    ]
    style = TABLE_STYLE + _PAGE_STYLE + (derivation.STYLE if derivations else "")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{_text(title)}</title>\n<style>\n{style}</style>\n"
        "</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return escape(printable(text))


def sorting() -> str:
    """The script that sorts the sortable tables of a page."""
    text = resources.files(__package__).joinpath("sort.js").read_text("utf-8")
    return f'"use strict";\n(() => {{\n{text}}})();\n'


def script_hash(script: str) -> str:
    """How a page's policy names the script that it admits."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def sortable(table: Table) -> bool:
    """Whether a table is a list of like things, with numbers to sort them by."""
    if any(row.depth or row.unit or row.kind not in ("row", "total", "note") for row in table.rows):
        return False
    rows = [row for row in table.rows if row.kind == "row"]
    numbers = [index for index, column in enumerate(table.columns) if index and column.numeric]
    return len(rows) >= LIST_ROWS and bool(numbers)


def table_html(table: Table, *, repeated: bool = False) -> str:
    """Write one table with its notes, without a style.

    A caption that repeats the page's heading is there for screen readers alone.
    """
    caption = _text(table.title)
    if repeated:
        caption = f'<span class="repeated">{caption}</span>'
    values = sortable(table)
    heading = "".join(
        f'<th scope="col" class="{_kind(column, index)}">{_text(column.title)}</th>'
        for index, column in enumerate(table.columns)
    )
    rows = [
        _row(row, texts, table.columns, values=values)
        for row, texts in zip(table.rows, cells.row_texts(table), strict=True)
    ]
    notes = "".join(f"<p>{_text(note)}</p>" for note in cells.all_notes(table, table.columns))
    parts = [
        '<div class="archscope">',
        '<table class="sortable">' if values else "<table>",
        f"<caption>{caption}</caption>",
        f"<thead><tr>{heading}</tr></thead>",
        "<tbody>",
        *rows,
        "</tbody>",
        "</table>",
        *([f'<div class="notes">{notes}</div>'] if notes else []),
        "</div>",
    ]
    return "\n".join(parts)


def _kind(column: Column, index: int) -> str:
    if column.unit == "text" and index:
        return "text"
    return "number" if index and (column.numeric or column.unit == "bar") else "name"


def _row(row: Row, texts: list[str], columns: tuple[Column, ...], *, values: bool) -> str:
    parts = [
        _cell(row, index, column, value, text, plain=_plain(value) if values else "")
        for index, (column, value, text) in enumerate(zip(columns, row.cells, texts, strict=True))
    ]
    return f'<tr class="{row.kind}">{"".join(parts)}</tr>'


def _plain(value: Cell) -> str:
    """A number as it is, for sorting."""
    return f' data-value="{value}"' if isinstance(value, (int, float)) else ""


def _cell(row: Row, index: int, column: Column, value: Cell, text: str, plain: str) -> str:
    kind = _kind(column, index)
    kind = "name" if kind == "text" and len(text) < LONG_TEXT else kind
    classes = kind + (" best-cell" if column.key in row.best else "")
    body = _text(text)
    if column.unit == "bar" and text:
        body += _bar(value)
    if index:
        return f'<td class="{classes}"{plain}>{body}</td>'
    depth = min(row.depth, cells.MAX_GUIDES)
    indent = f' style="padding-left: {0.6 + 1.2 * depth:.1f}em"' if depth else ""
    return f'<th scope="row" class="{classes}"{indent}>{body}</th>'


def _bar(value: Cell) -> str:
    filled = min(1.0, value) if isinstance(value, (int, float)) and value > 0 else 0.0
    return f'<span class="track"><span class="fill" style="width: {filled:.2%}"></span></span>'


def figure_html(chart: Chart) -> str:
    """Write one figure as an image that needs no other file, for light and dark screens."""
    from archscope.render.plots import adaptive_image

    return (
        f'<figure><img alt="{_text(chart.title)}" '
        f'src="data:image/svg+xml,{_in_address(adaptive_image(chart))}"></figure>'
    )


def _in_address(svg: str) -> str:
    """An image as the rest of a `data:` address, in fewer letters than Base64 takes."""
    encoded = svg.replace("%", "%25").replace("#", "%23").replace('"', "'")
    return escape(encoded, quote=False)
