"""Table → terminal.

rich measures the width of characters; the layout is our own, because rich's takes seconds for
the thousands of rows that a deep network has.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from archscope.inert import printable
from archscope.render import cells
from archscope.table import Cell, Column, Report, Row, Table

GAP = "  "
NARROWEST = 12
"""Names shorten down to this many columns; text wraps further where no word breaks."""
COMFORTABLE = 24
"""Columns go before text wraps narrower than this."""
LONGEST_WORD = 48
"""Columns go before text breaks a word that is no longer than this."""

_SGR = {
    "bold": "1", "dim": "2", "bar": "36", "best": "1;32", "failed": "1;31", "added": "32",
    "removed": "31",
}  # fmt: skip
STYLES = {"group": "bold", "total": "bold", "note": "dim", "added": "added", "removed": "removed"}
_TAIL = re.compile(r"(?<=\d)(?: [A-Za-zµ%/]+|×|x)?\*?\Z")
_UNICODE_GUIDES = ("│ ", "  ", "├ ", "└ ")
_ASCII_GUIDES = ("| ", "  ", "|-", "`-")


@dataclass(frozen=True)
class _Ink:
    """What the stream can show."""

    color: bool
    unicode: bool

    def paint(self, text: str, style: str) -> str:
        if not self.color or not style or not text:
            return text
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m"

    def safe(self, text: str) -> str:
        return text if self.unicode else cells.ascii_safe(text)


@dataclass(eq=False)
class _Strip:
    """One column laid out: its heading, its cells and the width they get."""

    column: Column
    first: bool
    texts: list[str]
    sizes: list[int]
    guides: list[str]
    heading: list[str] = field(default_factory=list)
    width: int = 0

    @property
    def natural(self) -> int:
        return max(self.sizes, default=0)

    @property
    def comfortable(self) -> int:
        """Where text wraps, and wraps between words."""
        return min(self.natural, max(COMFORTABLE, min(self.longest_word, LONGEST_WORD)))

    @property
    def narrowest(self) -> int:
        least = min(NARROWEST, self.longest_word) if self.wraps else NARROWEST
        return max(_heading_width(self), least)

    @property
    def unbroken(self) -> int:
        """As narrow as text wraps without breaking a word."""
        return max(self.narrowest, min(self.longest_word, LONGEST_WORD))

    @cached_property
    def longest_word(self) -> int:
        words = (word for text in self.texts for word in text.split())
        return max(map(cells.cell_width, words), default=0)

    @property
    def wraps(self) -> bool:
        return self.column.unit == "text" and not self.first

    @property
    def right(self) -> bool:
        return self.column.numeric and not self.first


def terminal(
    table: Table,
    width: int = 120,
    color: bool = False,
    *,
    encoding: str = "utf-8",
    shorten: bool = False,
) -> str:
    """Write a table for a terminal or a pipe, ending in a newline.

    When it is too wide, headings break in two, names lose their middle down to half the width,
    columns leave by falling priority (a note names them), text wraps, headings break further, names
    lose more, and last of all words break, if that helps.

    Args:
        table: what to show.
        width: columns of the terminal.
        color: whether escape sequences for bold, dim and colour may be written.
        encoding: of the stream; anything but a Unicode encoding gets plain ASCII.
        shorten: whether names may be cut; in a pipe they must not be.
    """
    ink = _Ink(color, codecs.lookup(encoding).name.startswith("utf"))
    strips = [_strip(table, index, ink) for index in range(len(table.columns))]
    shown = _fitted(strips, width, shorten)
    lines = [
        ink.paint(line, "bold") for line in cells.wrapped(ink.safe(printable(table.title)), width)
    ]
    lines += _body(table, shown, ink)
    notes = cells.all_notes(table, [strip.column for strip in shown])
    if len(shown) < len(strips):
        notes.append(_left_out(strips, shown, table.chooser))
    for note in notes:
        lines += [ink.paint(line, "dim") for line in cells.wrapped(ink.safe(note), width)]
    return "\n".join(lines) + "\n"


def answer_line(report: Report, width: int, color: bool, *, encoding: str) -> str:
    """The sentence above everything, ending in a newline; red where a check fails."""
    ink = _Ink(color, codecs.lookup(encoding).name.startswith("utf"))
    lines = cells.wrapped(ink.safe(printable(report.answer)), width)
    style = "failed" if report.failed else "best"
    return "\n".join(ink.paint(line, style) for line in lines) + "\n"


def _left_out(strips: list[_Strip], shown: list[_Strip], chooser: str) -> str:
    """Which columns are not shown, and how to see them: the width they need, or a choice."""
    titles = ", ".join(printable(strip.column.title) for strip in strips if strip not in shown)
    for strip in strips:
        strip.width = max(_heading_width(strip), _natural(strip))
    choice = f", or choose with {chooser}" if chooser else ""
    return f"Left out at this width: {titles}; COLUMNS={_needed(strips)} shows them{choice}."


def _strip(table: Table, index: int, ink: _Ink) -> _Strip:
    column = table.columns[index]
    first = index == 0
    texts = [
        ink.safe(cells.row_cell(row, column, row.cells[index], first=first)) for row in table.rows
    ]
    if column.unit == "bar":
        texts = _with_bars(texts, [row.cells[index] for row in table.rows], ink)
    elif column.numeric:
        texts = _aligned(texts)
    guides = [""] * len(texts)
    if first and any(row.depth for row in table.rows):
        marks = _UNICODE_GUIDES if ink.unicode else _ASCII_GUIDES
        guides = cells.guides([row.depth for row in table.rows], marks)
    sizes = [len(guide) + cells.cell_width(text) for guide, text in zip(guides, texts, strict=True)]
    heading = ink.safe(printable(column.title))
    return _Strip(column, first, texts, sizes, guides, [heading])


def _with_bars(texts: list[str], values: list[Cell], ink: _Ink) -> list[str]:
    size = max(map(len, texts), default=0)
    return [
        f"{text:>{size}} {cells.bar(value, ink.unicode)}"
        for text, value in zip(texts, values, strict=True)
    ]


def _aligned(texts: list[str]) -> list[str]:
    """Pad prefixes and marks, so that `4.09 G*` and `156` end their digits in one column."""
    tails = [_TAIL.search(text) for text in texts]
    size = max((len(tail[0]) for tail in tails if tail), default=0)
    return [
        text if tail is None else text[: tail.start()] + tail[0].ljust(size)
        for text, tail in zip(texts, tails, strict=True)
    ]


def _fitted(strips: list[_Strip], width: int, shorten: bool) -> list[_Strip]:
    """Choose the columns that stay, and set heading and width of each."""
    for strip in strips:
        strip.width = max(strip.natural, cells.cell_width(strip.heading[0]))
    if _needed(strips) <= width:
        return strips
    for strip in strips:
        strip.heading = _broken(strip.heading[0], strip.natural)
        strip.width = max(_heading_width(strip), _natural(strip))
    names = [strip for strip in strips if strip.first or strip.column.unit == "name"]
    if shorten:  # one very long name must not drive every other column out
        for strip in names:
            strip.width = max(_heading_width(strip), min(strip.width, width // 2))
    shown = list(strips)
    while _needed(shown) > width and any(strip.column.priority for strip in shown):
        highest = max(strip.column.priority for strip in shown)
        shown.remove([strip for strip in shown if strip.column.priority == highest][-1])
    wrapping = [strip for strip in shown if strip.wraps]
    _squeeze({strip: strip.unbroken for strip in wrapping}, shown, width)
    if _needed(shown) > width:
        _break_headings([strip for strip in shown if not strip.wraps])
    if shorten:
        _squeeze({strip: strip.narrowest for strip in names if strip in shown}, shown, width)
    if _needed(shown) - sum(strip.width - strip.narrowest for strip in wrapping) <= width:
        _squeeze({strip: strip.narrowest for strip in wrapping}, shown, width)
    _relax([strip for strip in names if strip in shown], width - _needed(shown))
    _relax([strip for strip in shown if strip.wraps], width - _needed(shown))
    return shown


def _natural(strip: _Strip) -> int:
    """What its cells take where text wraps between words and nothing is cut."""
    return strip.comfortable if strip.wraps else strip.natural


def _needed(strips: list[_Strip]) -> int:
    return sum(strip.width for strip in strips) + len(GAP) * (len(strips) - 1)


def _heading_width(strip: _Strip) -> int:
    return max(map(cells.cell_width, strip.heading))


def _broken(heading: str, width: int) -> list[str]:
    """Break a heading once, at the space that leaves the narrower halves."""
    if cells.cell_width(heading) <= width or " " not in heading:
        return [heading]
    words = heading.split(" ")
    halves = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
    return list(min(halves, key=lambda half: max(map(cells.cell_width, half))))


def _break_headings(strips: list[_Strip]) -> None:
    """Break headings at as many spaces as it takes to be no wider than their longest word."""
    for strip in strips:
        words = " ".join(strip.heading).split(" ")
        widest = max(map(cells.cell_width, words))
        strip.heading = cells.wrapped(" ".join(words), max(widest, strip.natural))
        strip.width = max(_heading_width(strip), min(strip.width, strip.natural))


def _squeeze(least: Mapping[_Strip, int], shown: list[_Strip], width: int) -> None:
    """Take what is still too much from the widest of these, of equals the one that wraps most."""
    for _ in range(_needed(shown) - width):
        wide = [strip for strip, narrowest in least.items() if strip.width > narrowest]
        if wide:
            max(wide, key=lambda strip: (strip.width, strip.natural)).width -= 1


def _relax(strips: list[_Strip], spare: int) -> None:
    """Give columns narrower than their cells the width that is left over."""
    for strip in sorted(strips, key=lambda strip: strip.natural):
        gain = max(0, min(strip.natural - strip.width, spare))
        strip.width += gain
        spare -= gain


def _body(table: Table, strips: list[_Strip], ink: _Ink) -> Iterator[str]:
    rule = ink.paint(("─" if ink.unicode else "-") * _needed(strips), "dim")
    height = max(len(strip.heading) for strip in strips)
    yield from _lines([_heading(strip, height, ink) for strip in strips], strips)
    yield rule
    if not table.rows:
        yield ink.paint("(no rows)", "dim")
    for index, row in enumerate(table.rows):
        if row.kind == "total" and index:
            yield rule
        yield from _row(row, index, strips, ink)


def _heading(strip: _Strip, height: int, ink: _Ink) -> list[str]:
    """The lines of one heading, standing on the rule below."""
    pieces = [""] * (height - len(strip.heading)) + strip.heading
    return [_padded(strip, ink.paint(p, "bold"), cells.cell_width(p)) for p in pieces]


def _row(row: Row, index: int, strips: list[_Strip], ink: _Ink) -> Iterator[str]:
    return _lines([_cell(row, index, strip, ink) for strip in strips], strips)


def _lines(blocks: list[list[str]], strips: list[_Strip]) -> Iterator[str]:
    """Set blocks of padded lines side by side."""
    for line in range(max(map(len, blocks))):
        pieces = [
            block[line] if line < len(block) else " " * strip.width
            for block, strip in zip(blocks, strips, strict=True)
        ]
        yield GAP.join(pieces).rstrip()


def _cell(row: Row, index: int, strip: _Strip, ink: _Ink) -> list[str]:
    """The lines of one cell, painted and padded to the column."""
    text, size, guide = strip.texts[index], strip.sizes[index], strip.guides[index]
    style = _style(row, strip.column)
    if size > strip.width and strip.wraps:
        lines = cells.wrapped(text, strip.width)
        return [_padded(strip, ink.paint(line, style), cells.cell_width(line)) for line in lines]
    if size > strip.width:
        text = cells.shortened(text, strip.width - len(guide), ink.safe("…"))
        size = len(guide) + cells.cell_width(text)
    if strip.column.unit == "bar":
        number, drawn = text[: -cells.BAR_CELLS], text[-cells.BAR_CELLS :]
        return [_padded(strip, ink.paint(number, style) + ink.paint(drawn, "bar"), size)]
    return [_padded(strip, ink.paint(guide, "dim") + ink.paint(text, style), size)]


def _style(row: Row, column: Column) -> str:
    if row.failed:
        return "failed"
    if column.key in row.best or row.kind == "best":
        return "best"
    return STYLES.get(row.kind, "")


def _padded(strip: _Strip, painted: str, size: int) -> str:
    blank = " " * max(0, strip.width - size)
    return blank + painted if strip.right else painted + blank
