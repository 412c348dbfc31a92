"""Modules may have any name: no format breaks on it, and nothing in it runs."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from torch import nn

import archscope
from archscope import archive

HOSTILE = (
    "a|b",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "x\ny",
    "🙂",
    "[bold]x[/]",
    "a'b\"c",
    "$x_1$&%#\\",
    "=1",
)


def with_names(names: tuple[str, ...]) -> nn.Module:
    network = nn.Sequential()
    for width, name in enumerate(names, start=4):  # of unequal widths, or equal ones share a row
        network.add_module(name, nn.Linear(width, width + 1))
    return network


def test_hostile_names_survive_a_saved_file() -> None:
    analysis = archscope.summary(with_names(HOSTILE), "4", backward=True).analysis
    assert tuple(layer.name for layer in analysis.layers) == HOSTILE
    assert archive.loads(archive.dumps(analysis)) == analysis


class Markup(HTMLParser):
    """Every tag of a page with its attributes, and nothing of its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attributes]))


def outline(suffix: str, text: str) -> object:
    """What a format's markup says, whatever the names in its cells."""
    if suffix == "html":
        return Markup(text).tags
    if suffix == "csv":
        return [len(row) for row in csv.reader(io.StringIO(text))]
    if suffix == "json":
        return len(text.splitlines())
    bar = {"md": r"(?<!\\)\|", "tex": r"(?<!\\)&"}[suffix]
    return [len(re.findall(bar, line)) for line in text.splitlines()]


@pytest.mark.parametrize("suffix", ["html", "md", "csv", "tex", "json"])
def test_no_name_changes_the_markup_around_it(suffix: str, tmp_path: Path) -> None:
    outlines = []
    for names in (HOSTILE, tuple("abcdefghi")):
        network, files = with_names(names), (tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
        archscope.summary(network, "4").save(str(files[0]))
        archscope.explain(network, input="4").save(str(files[1]))
        texts = [file.read_text(encoding="utf-8") for file in files]
        outlines.append([outline(suffix, text) for text in texts])
    assert outlines[0] == outlines[1]


def test_no_name_breaks_a_line_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = str(archscope.summary(with_names(HOSTILE), "4")).splitlines()
    assert len(lines) == len(
        str(archscope.summary(with_names(tuple("abcdefghi")), "4")).splitlines()
    )
    for name in HOSTILE:
        assert any(name.replace("\n", "\\n") in line for line in lines)
