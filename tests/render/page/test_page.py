"""The file: self-contained, small, safe, and readable without scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from archscope import units
from archscope.cli import run
from archscope.page import Amount, Network, Page, Part
from archscope.render.page import page_html

HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\u2028'


def hostile_page() -> Page:
    part = Part(HOSTILE, HOSTILE, HOSTILE, "linear", -1, HOSTILE, HOSTILE, HOSTILE,
                ((HOSTILE, HOSTILE),), ((HOSTILE, HOSTILE),), (5,))  # fmt: skip
    network = Network(HOSTILE, HOSTILE, (part,))
    return Page(HOSTILE, HOSTILE, (Amount("macs", "MACs", "macs"),), (network,), (HOSTILE,))


def test_a_comparison_of_two_resnets_is_small(pair: Path) -> None:
    assert pair.stat().st_size <= 250_000


def test_the_first_sentence_has_the_ratio_of_the_table(pair: Path) -> None:
    text = pair.read_text(encoding="utf-8")
    (said,) = re.findall(r"([\d.]+×) the training tensors", text)
    (row,) = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*Training tensors<.*?</tr>", text, re.DOTALL)
    assert f">{said}<" in row


def test_the_page_names_no_other_source(pair: Path) -> None:
    source = pair.read_text()
    assert re.findall(r"""(?:src|href)\s*=|@import|url\(""", source) == []
    assert "default-src 'none'" in source


def test_hostile_texts_stay_texts(tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_html(hostile_page()))
    page = opened(path)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    shown = HOSTILE.replace("\u2028", "\\u2028")
    assert page.locator(".layers button.name").text_content() == shown
    assert page.locator("h1").text_content() == shown


def test_a_script_that_is_not_the_pages_own_does_not_run(tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "page.html"
    source = page_html(hostile_page())
    path.write_text(source.replace("</body>", "<script>document.title = 'other'</script></body>"))
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title() != "other"
    assert page.locator(".layers").count() == 1  # its own did
    page.close()


def test_the_tables_show_without_scripts(lenet: Path, opened: Any) -> None:
    page = opened(lenet, java_script_enabled=False)
    assert page.get_by_text("48,120").first.is_visible()


def test_the_data_adds_up_to_the_totals(lenet: Path) -> None:
    found = re.search(r'id="data">(.*?)</script>', lenet.read_text(), re.S)
    assert found is not None
    data = json.loads(found[1])
    keys = [(amount["key"], amount["phase"]) for amount in data["amounts"]]
    columns = zip(*(part[-1] for part in data["networks"][0]["parts"]), strict=True)
    sums = dict(zip(keys, (sum(filter(None, values)) for values in columns), strict=True))
    # 28·28·6·25 + 10·10·16·150 + 400·120 + 120·84 + 84·10 and 156 + 2416 + 48120 + 10164 + 850
    assert sums["macs", "forward"] == 416_520
    assert sums["params", ""] == 61_706


NUMBERS = (
    0, 1, 9, 10, 99.95, 100, 999, 999.4, 999.6, 1000, 1024, 1125, 1135, 2.5, 1023.9, 4089184256,
    25557032, 1.5e12, 0.125, 123456789, 2**20, 2**30 - 1, 10**15 + 5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("writer", "expected", "numbers"),
    [
        ("si", units.si, NUMBERS),
        ("bytes", units.binary_bytes, NUMBERS),
        ("seconds", units.seconds, (1.0, 0.0031, 2.5e-6, 1e-9, 61.25, 0.9996, 1.0625e-3)),
        ("percent", units.percent, (0, 0.979, 0.0004, 0.0005, 1, 0.00125, 0.5)),
    ],
)
def test_numbers_read_as_in_every_other_format(
    tmp_path: Path, browser: Any, writer: str, expected: Any, numbers: tuple[float, ...]
) -> None:
    from archscope.render import page as room

    page = browser.new_page()
    script = (Path(str(room.__file__)).parent / "text.js").read_text()
    shown = page.evaluate(f"(numbers) => {{ {script} return numbers.map({writer}); }}", numbers)
    assert shown == [expected(number) for number in numbers]
    page.close()


def test_a_sweep_has_a_page_of_its_points(tmp_path: Path) -> None:
    path = tmp_path / "sweep.html"
    assert run(["sweep", "lenet", "batch=1,2,3,4,5,6,7", "-o", str(path)]) == 0
    text = path.read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [n["label"] for n in data["networks"]] == ["batch=1", "batch=3", "batch=5", "batch=7"]
    assert "4 of 7 points are drawn; the table below lists all." in text
    assert text.count("<tr") > 7


def test_a_network_on_two_gpus_is_drawn_once(tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "page.html"
    assert run(["predict", "lenet", "--on", "rtx4090,t4", "-o", str(path)]) == 0
    text = path.read_text()
    start = text.index('id="data">') + len('id="data">')
    first, second = json.loads(text[start : text.index("</script>", start)])["networks"]
    assert isinstance(first["memory"], dict) and isinstance(first["graph"], dict)
    assert second["memory"] == second["graph"] == 0  # those of the first
    assert opened(path).locator(".memory-view .panel-title, .memory-view strong").count() >= 1
