"""What a notebook's cell shows."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope.errors import ArchscopeError
from archscope.page import Page
from archscope.render import notebook
from archscope.table import Column, Report, Row, Table


class _Frames(HTMLParser):
    """Finds the frames of a fragment with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.found.append(dict(attrs))


def data_of(page: str) -> Any:
    """What the page's scripts read."""
    start = page.index('id="data">') + len('id="data">')
    return json.loads(page[start : page.index("</script>", start)])


def test_a_count_shows_its_page_in_a_frame_and_its_tables_below() -> None:
    cell = archscope.summary("lenet")._repr_html_()
    (frame,) = _Frames(cell).found
    assert frame["sandbox"] == "allow-scripts"  # no access to the notebook around it
    page = frame["srcdoc"]
    assert page is not None and data_of(page)["networks"][0]["label"] == "lenet"
    below = cell[cell.index("</iframe>") :]
    assert "<details>" in below and "61,706" in below


def test_networks_side_by_side_have_one_page() -> None:
    (frame,) = _Frames(archscope.compare("lenet", "lenet5")._repr_html_()).found
    assert frame["srcdoc"] is not None
    labels = [network["label"] for network in data_of(frame["srcdoc"])["networks"]]
    assert labels == ["lenet", "lenet5"]


def test_arithmetic_without_a_page_is_written_out() -> None:
    cell = archscope.explain("lenet", "conv1")._repr_html_()
    assert not _Frames(cell).found
    assert "1·6·28·28·1·5·5 = 117,600" in cell


def report(rows: int = 1, **parts: Any) -> Report:
    table = Table("t", (Column("a", "A"),), (Row(("x",)),) * rows)
    return Report("a report", (table,), answer="The answer.", **parts)


def test_no_frame_where_a_page_cannot_be_made_or_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = Page("title", "answer", (), ())

    def failing() -> Page:
        raise ArchscopeError("network", "cannot be run", "leave it out")

    assert _Frames(notebook.cell_html(report(page=lambda: small))).found
    for given in (
        report(),
        report(page=failing),
        report(rows=notebook.MOST_ROWS + 1, page=lambda: small),
    ):
        cell = notebook.cell_html(given)
        assert not _Frames(cell).found and "The answer." in cell
    monkeypatch.setattr(notebook, "LARGEST_PAGE", 100)
    assert not _Frames(notebook.cell_html(report(page=lambda: small))).found


def test_the_page_of_a_saved_answer_is_that_of_the_command(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    archscope.summary("lenet").save(str(page))
    assert data_of(page.read_text())["networks"][0]["label"] == "lenet"


def test_a_cell_has_as_many_figures_as_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    report = archscope.compare("lenet", "lenet5").report
    cell = notebook.cell_html(report)
    assert len(cell) < notebook.LARGEST_CELL + 100
    assert cell.count("<figure>") == len(report.charts) > 1 and "further" not in cell
    without = len(cell[: cell.index("<figure>")])
    one = cell.index("<figure>", without + 1) - without
    monkeypatch.setattr(notebook, "LARGEST_CELL", without + one)
    assert notebook.cell_html(report).count("<figure>") == 1
    assert "further figure" in notebook.cell_html(report)
