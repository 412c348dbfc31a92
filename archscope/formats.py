"""What a file of each format holds: a report's tables, record, page or figures as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.table import Chart, Report


@dataclass(frozen=True)
class Drawn:
    """How the figures of a command are drawn.

    Args:
        chart: name of the only one to draw; all in a grid when `None`.
        size: width and height of each, in inches; what they need when `None`.

    Raises:
        ArchscopeError: a size that no figure has.
    """

    chart: str | None = None
    size: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not is_size(self.size):
            problem = "is not a width and height from 1 to 60 inches"
            remedy = f"write {parameter('size')} like (6.8, 4)"
            raise ArchscopeError(parameter("size", self.size), problem, remedy)


def is_size(sides: object) -> bool:
    """Whether they are the width and height of a figure in inches, 1 to 60 each."""
    if not (isinstance(sides, Sequence) and len(sides) == 2):
        return False
    return all(isinstance(side, (int, float)) and 1 <= side <= 60 for side in sides)


EXPORTS = {
    ".speedscope.json": "use archscope trace FILE",
    ".perfetto.json": "use archscope trace FILE",
    ".modelexplorer.json": "use archscope summary MODEL",
}
"""Suffixes of files for other programs, and the command whose report has each.

A word before one chooses among several: `x.params.modelexplorer.json`.
"""


def _export_suffix(path: str) -> str | None:
    return next((suffix for suffix in EXPORTS if path.lower().endswith(suffix)), None)


def _export(report: Report, path: str, drawn: Drawn) -> bytes:
    suffix = _export_suffix(path)
    assert suffix is not None
    word = Path(path).name.lower().removesuffix(suffix).rpartition(".")[2]
    write = report.exports.get(f".{word}{suffix}") or report.exports.get(suffix)
    if write is None:
        raise ArchscopeError(
            parameter("output", path), f"this report has no {suffix}", EXPORTS[suffix]
        )
    return _encoded(json.dumps(write(), separators=(",", ":")))


def format_of(path: str) -> Callable[[Report, str, Drawn], bytes]:
    """What makes a file of this name, from a report, the name and how figures are drawn.

    Raises:
        ArchscopeError: an unknown suffix, or none.
    """
    if _export_suffix(path) is not None:
        return _export
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = " ".join(FORMATS)
        problem = f"unknown suffix {suffix!r}" if suffix else "has no suffix"
        raise ArchscopeError(parameter("output", path), problem, f"use one of {known}")
    return FORMATS[suffix]


def _markdown(report: Report, path: str, drawn: Drawn) -> bytes:
    from archscope.render import derivation
    from archscope.render.markdown import escaped, markdown

    several = len(report.tables) > 1 or report.derivations
    heading = [f"# {escaped(report.title)}\n"] if several else []
    answer = [f"**{escaped(report.answer)}**\n"] if report.answer else []
    derived = map(derivation.markdown, report.derivations)
    return _encoded("\n".join([*heading, *answer, *derived, *map(markdown, report.tables)]))


def _csv(report: Report, path: str, drawn: Drawn) -> bytes:
    from archscope.render.plain import csv_text

    return _encoded(csv_text(report.data or report.tables[0]))


def _json(report: Report, path: str, drawn: Drawn) -> bytes:
    if report.record is None:
        from archscope.render.plain import table_json

        return _encoded(table_json(*report.tables))
    from archscope import archive

    if not isinstance(report.record, archive.Record):
        raise TypeError(f"{type(report.record).__name__} is not a record")
    return _encoded(archive.dumps(report.record))


def _html(report: Report, path: str, drawn: Drawn) -> bytes:
    if report.page is not None:
        from archscope.render.page import page_html

        return _encoded(page_html(report.page(), report.tables))
    from archscope.render.html import html

    return _encoded(html(report))


def _latex(report: Report, path: str, drawn: Drawn) -> bytes:
    from archscope.render import derivation
    from archscope.render.latex import latex

    derived = map(derivation.latex, report.derivations)
    return _encoded("\n".join([*derived, *map(latex, report.tables)]))


class NoFigureError(ArchscopeError):
    """An image of a report that has none: all else is written."""


def is_figure(path: str) -> bool:
    """Whether a file of this name is an image."""
    return FORMATS.get(Path(path).suffix.lower()) is _image


def no_figure(path: str) -> NoFigureError:
    """What to say where a report has none."""
    suffixes = " ".join(suffix for suffix, write in FORMATS.items() if write is not _image)
    return NoFigureError(
        parameter("output", path), "this report has no figure", f"use one of {suffixes}"
    )


def _image(report: Report, path: str, drawn: Drawn) -> bytes:
    kind = Path(path).suffix.lower().removeprefix(".")
    if not report.has_figure:
        raise no_figure(path)
    from archscope.render import plots

    if report.drawing is not None:
        if drawn.chart is not None:
            raise ArchscopeError(
                parameter("chart", drawn.chart), "this report has one drawing", "leave it out"
            )
        return plots.drawing_image(report.drawing(), kind, drawn.size)
    return plots.image(_chosen(report.charts, drawn.chart), kind, drawn.size)


def _chosen(charts: Sequence[Chart], name: str | None) -> Sequence[Chart]:
    if name is None:
        return charts
    chosen = [chart for chart in charts if chart.name == name]
    if not chosen:
        known = ", ".join(dict.fromkeys(chart.name for chart in charts))
        raise ArchscopeError(
            parameter("chart", name), "this report has no such chart", f"use {known}"
        )
    return chosen


FORMATS: dict[str, Callable[[Report, str, Drawn], bytes]] = {
    ".md": _markdown,
    ".csv": _csv,
    ".json": _json,
    ".html": _html,
    ".tex": _latex,
    ".png": _image,
    ".svg": _image,
    ".pdf": _image,
}


def _encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which no file can hold, becomes its escape."""
    return text.encode("utf-8", "backslashreplace")
