"""What a reader does with a table of many networks: sort it, with a mouse or with keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archscope.render.html import html
from archscope.table import Column, Report, Row, Table

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
