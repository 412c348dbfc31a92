"""Page → one self-contained HTML file: the data, a style and the scripts that draw it.

Every text reaches the document as text, never as markup, and the page's policy admits only the
scripts that stand here, by their hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources

from archscope.inert import printable
from archscope.page import Page
from archscope.render import html, palette
from archscope.render.page.data import page_data
from archscope.table import Table

SCRIPTS = (
    "theme.js", "text.js", "model.js", "align.js", "controls.js", "map.js", "table.js", "card.js",
    "plot.js", "memory.js", "roofline.js", "graph.js", "start.js",
)  # fmt: skip
"""In the order in which they run; together they are one script."""


def page_html(page: Page, tables: Sequence[Table] = ()) -> str:
    """Write a page that needs no other file and no network.

    Args:
        page: what is explored.
        tables: of the report, below the views; what the page shows where scripts are off.
    """
    script = "".join(map(_asset, SCRIPTS))
    script = f'"use strict";\n(() => {{\n{script}}})();\n{html.sorting()}'
    data = json.dumps(page_data(page), ensure_ascii=False, separators=(",", ":"))
    admitted = html.script_hash(script)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {admitted}"
    style = html.TABLE_STYLE + _colors() + _asset("page.css")
    title = escape(printable(page.title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_body(page, tables)}"
        f'<script type="application/json" id="data">{_inert(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _body(page: Page, tables: Sequence[Table]) -> str:
    title, answer = (escape(printable(text)) for text in (page.title, page.answer))
    notes = "".join(f"<p>{escape(printable(note))}</p>" for note in page.notes)
    shown = "\n".join(map(html.table_html, tables))
    return (
        f"<header><h1>{title}</h1>\n<p class='answer'>{answer}</p></header>\n"
        '<main id="views"></main>\n'
        f'<details id="tables" open><summary>The same as tables</summary>\n{shown}\n</details>\n'
        f'<footer class="notes">{notes}</footer>\n'
    )


def _colors() -> str:
    """The palette as classes `f-linear` of families and `k-0` of kinds of bytes."""
    classes = {f"f-{name.split()[0]}": color for name, color in palette.FAMILIES.items()}
    classes |= {f"k-{place}": color for place, color in enumerate(palette.BYTES.values())}
    names = {name: f"--{name}" for name in classes}
    light = "".join(f"{names[name]}:{color.light};" for name, color in classes.items())
    dark = "".join(f"{names[name]}:{color.dark};" for name, color in classes.items())
    uses = "".join(f".{name}{{--own:var({names[name]})}}" for name in classes)
    automatic = ':root[data-theme="auto"],:root:not([data-theme])'
    return (
        f':root{{{light}}}\n:root[data-theme="dark"]{{{dark}}}\n'
        f"@media screen and (prefers-color-scheme:dark){{{automatic}{{{dark}}}}}\n"
        f"@media print{{:root,:root[data-theme]{{{light}}}}}\n{uses}\n"
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _inert(data: str) -> str:
    """JSON in which nothing ends the element around it."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
