"""Report → what a notebook's cell shows: its page in a frame, its tables and its figures.

A notebook that is not trusted drops the frame; the tables below it stay.
"""

from __future__ import annotations

from html import escape

from archscope.errors import ArchscopeError
from archscope.inert import printable
from archscope.render import derivation
from archscope.render.html import TABLE_STYLE, figure_html, table_html
from archscope.table import Report
from archscope.units import plural

LARGEST_PAGE = 1 << 20
"""Characters of a page beyond which a notebook does without it.

Whatever a cell shows is saved in its file.
"""

LARGEST_CELL = 240_000
"""Characters of a cell that figures do not exceed."""

MOST_ROWS = 2000
"""Rows of plain data beyond which no page is made: following the tensors would take long."""


STYLE = """\
.archscope.archscope.archscope :is(th, td) { text-align: left; }
.archscope.archscope.archscope .number { text-align: right; }
.archscope.archscope.archscope tbody tr { background: none; }
.archscope.archscope.archscope table { margin: 0; font-size: inherit; }
.derivation.derivation.derivation dt { float: none; width: auto; font-weight: normal; }
.derivation.derivation.derivation dd { margin: 0; }
"""
"""Outdoes what Jupyter's sheet says of every table and list: stripes, right and bold text."""


def cell_html(report: Report) -> str:
    """Write what a cell shows.

    Args:
        report: of any question.
    """
    answer = f"<p><b>{escape(printable(report.answer))}</b></p>" if report.answer else ""
    style = TABLE_STYLE + (derivation.STYLE if report.derivations else "") + STYLE
    parts = [
        f"<style>\n{style}</style>",
        *map(derivation.html, report.derivations),
        *map(table_html, report.tables),
    ]
    frame = _frame(report)
    parts += _figures(report, LARGEST_CELL - len(frame) - sum(map(len, parts)))
    below = "\n".join(parts)
    if not frame:
        return answer + below
    return f"{frame}\n<details><summary>The same as tables</summary>\n{answer}{below}</details>"


def _frame(report: Report) -> str:
    """The page, which has no access to the notebook around it; empty where there is none."""
    rows = max((len(table.rows) for table in (report.data, *report.tables) if table), default=0)
    if report.page is None or rows > MOST_ROWS:
        return ""
    from archscope.render.page import page_html

    try:
        page = page_html(report.page())
    except ArchscopeError:  # what can be counted may still not be explored
        return ""
    if len(page) > LARGEST_PAGE:
        return ""
    return (
        f'<iframe title="{escape(printable(report.title))}" sandbox="allow-scripts" '
        'style="width: 100%; height: 44rem; border: 1px solid rgba(128, 128, 128, .4)" '
        f"srcdoc='{_quoted(page)}'></iframe>"
    )


def _quoted(page: str) -> str:
    """A page as an attribute in single quotes: its data holds many double ones."""
    return page.replace("&", "&amp;").replace("'", "&#39;")


def _figures(report: Report, room: int) -> list[str]:
    """The figures in their order, as many as a cell has room for."""
    shown: list[str] = []
    for chart in report.charts:
        figure = figure_html(chart)
        room -= len(figure)
        if room < 0:
            left = plural(len(report.charts) - len(shown), "further figure")
            shown.append(f"<p>{left}: save the answer as .svg, .pdf or .html.</p>")
            break
        shown.append(figure)
    return shown
