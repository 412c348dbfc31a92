"""What a reader does with a table of many networks: sort it, with a mouse or with keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archscope.render.html import html
from archscope.table import Axis, Chart, Column, Report, Row, Series, Table

COLUMNS = (Column("name", "Network", "name"), Column("params", "Params", "count"))
ROWS = (("small", 900_000), ("large", 61_000_000), ("unknown", None), ("middle", 2_000_000))
TABLE = Table(
    "Networks",
    COLUMNS,
    (*(Row(cells) for cells in ROWS), Row(("Sum", 63_900_000), "total")),
)


@pytest.fixture
def page(tmp_path: Path, opened: Any) -> Any:
    path = tmp_path / "many.html"
    path.write_text(html(Report("Networks", (TABLE,))), encoding="utf-8")
    return opened(path)


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("tbody th").all_text_contents()
    return found


def test_a_heading_sorts_by_numbers_not_by_their_text(page: Any) -> None:
    params = page.get_by_role("button", name="Params")
    params.click()
    assert names(page) == ["large", "middle", "small", "unknown", "Sum"]  # 61 M, 2 M, 900 k
    assert page.locator("th[aria-sort='descending']").inner_text().startswith("Params")
    params.click()
    assert names(page) == ["small", "middle", "large", "unknown", "Sum"]
    params.click()
    assert names(page) == [*(name for name, _ in ROWS), "Sum"]


def test_keys_sort_by_name(page: Any) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert names(page) == ["large", "middle", "small", "unknown", "Sum"]
    assert page.locator("th[aria-sort='ascending']").count() == 1


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([Row((str(n), n), depth=n) for n in range(4)], id="tree"),
        pytest.param([Row((str(n), n), unit="bytes") for n in range(4)], id="quantities"),
        pytest.param([Row((str(n), n), "added") for n in range(4)], id="changes"),
    ],
)
def test_what_is_no_list_keeps_its_order(rows: list[Row]) -> None:
    text = html(Report("Others", (Table("Others", COLUMNS, tuple(rows)),)))
    assert "<script" not in text and "data-value" not in text


def test_a_list_without_numbers_is_not_sorted() -> None:
    columns = (COLUMNS[0], Column("form", "Closed form", "text"))
    rows = tuple(Row((name, "2·N")) for name in "abc")
    assert "<script" not in html(Report("Forms", (Table("Forms", columns, rows),)))


def test_the_marks_of_a_wide_table_scroll_with_it(tmp_path: Path, opened: Any) -> None:
    columns = (COLUMNS[0], *(Column(f"n{n}", f"Quantity {n}", "exact") for n in range(30)))
    table = Table("Wide", columns, tuple(Row((name, *range(30))) for name, _ in ROWS))
    path = tmp_path / "wide.html"
    path.write_text(html(Report("Wide", (table,))), encoding="utf-8")
    root = opened(path).locator("html")
    assert root.evaluate("page => page.scrollWidth <= page.clientWidth")


def test_an_odd_last_figure_is_in_the_middle_of_its_row(tmp_path: Path, opened: Any) -> None:
    line = Series("a", (1, 2), (1.0, 2.0))
    charts = [Chart(f"t{n}", "line", Axis("x"), Axis("y"), (line,), name=f"c{n}") for n in range(3)]
    path = tmp_path / "odd.html"
    path.write_text(html(Report("t", (TABLE,), charts=tuple(charts))), encoding="utf-8")
    page = opened(path)
    page.set_viewport_size({"width": 1280, "height": 800})
    boxes = [figure.bounding_box() for figure in page.locator("figure").all()]
    assert boxes[0]["x"] < boxes[2]["x"] < boxes[1]["x"]
