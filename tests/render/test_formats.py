"""Every format shows the same numbers, and no name breaks out of any of them."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from archscope.render import cells
from archscope.render.html import html, table_html
from archscope.render.latex import latex
from archscope.render.markdown import markdown
from archscope.render.plain import csv_text, table_json
from archscope.render.text import terminal
from archscope.table import Column, Report, Row, Table

GOLDEN = Path(__file__).parents[1] / "golden"


class Page(HTMLParser):
    """Collects tags, attributes and the text of table cells."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.cells: list[str] = []
        self._inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag in ("td", "th"):
            self.cells.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


def markdown_cells(text: str) -> list[list[str]]:
    """Split table lines at bare pipes and undo the escapes, as a Markdown reader would."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows if not row.startswith("|:")]
    return [[_unescaped(cell.strip()) for cell in row] for row in split]


def _unescaped(text: str) -> str:
    text = re.sub(r"\A(?:· ?)*", "", text)
    text = re.sub(r"\A\*\*(.*)\*\*\Z", r"\1", text)
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.mark.parametrize("width", [80, 140])
def test_terminal_golden(resnet: Table, width: int) -> None:
    expected = (GOLDEN / f"resnet50_table_{width}.txt").read_text(encoding="utf-8")
    assert terminal(resnet, width) == expected


@pytest.mark.parametrize(("suffix", "write"), [("md", markdown), ("tex", latex), ("csv", csv_text)])
def test_file_golden(resnet: Table, suffix: str, write: object) -> None:
    expected = (GOLDEN / f"resnet50_table.{suffix}").read_text(encoding="utf-8")
    assert write(resnet) == expected  # type: ignore[operator]


def test_all_formats_show_the_same_numbers(resnet: Table) -> None:
    texts = cells.row_texts(resnet)
    columns = len(resnet.columns)
    assert markdown_cells(markdown(resnet))[1:] == texts
    page = Page(html(Report("t", (resnet,)))).cells[columns:]
    assert [page[i : i + columns] for i in range(0, len(page), columns)] == texts
    shown = " ".join(terminal(resnet, 200).split())
    assert all(" ".join(text.split()) in shown for row in texts for text in row)
    rows = list(csv.DictReader(io.StringIO(csv_text(resnet))))
    for column in resnet.columns:
        plain = ["" if value is None else str(value) for value in resnet.column(column.key)]
        assert [row[column.key] for row in rows] == plain
    data = json.loads(table_json(resnet))["tables"][0]
    assert [row["cells"] for row in data["rows"]] == [list(row.cells) for row in resnet.rows]


def test_a_total_is_the_same_in_every_format(resnet: Table) -> None:
    for text in (terminal(resnet, 200), markdown(resnet), html(Report("t", (resnet,)))):
        assert "≥4.09 G" in text and "25,557,032" in text
    assert r"$\geq$4.09\,G" in latex(resnet)
    assert "25557032,4089184256,1.0" in csv_text(resnet)


def test_no_name_moves_the_cursor_or_breaks_a_line(hostile: Table) -> None:
    for width in (400, 80, 30):
        text = terminal(hostile, width, shorten=True)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\ud800-\udfff]", text)
    lines = terminal(hostile, 2000).splitlines()
    assert len(lines) == 1 + 2 + len(hostile.rows) + len(hostile.notes)
    assert any("[bold]b[/bold]" in line for line in lines)
    assert any(r"\x1b[31mred" in line for line in lines)


def test_numbers_stay_in_their_column_beside_wide_characters(hostile: Table) -> None:
    lines = terminal(hostile, 2000).splitlines()[3 : 3 + len(hostile.rows)]
    assert len({cells.cell_width(line) for line in lines}) == 1


def test_no_name_injects_a_tag(hostile: Table) -> None:
    clean = Table("t", hostile.columns, (Row(("a", "b", 1), depth=1),), ("note",))
    for write in (table_html, lambda table: html(Report(table.title, (table,)))):
        page, reference = Page(write(hostile)), Page(write(clean))
        assert page.tags == reference.tags and page.attributes == reference.attributes
        assert page.cells[3:] == [text for row in cells.row_texts(hostile) for text in row]
    assert "script" not in page.tags and "onerror" not in page.attributes


def test_the_page_needs_nothing_from_outside(resnet: Table) -> None:
    text = html(Report("t", (resnet,)))
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_no_name_ends_a_markdown_cell_or_starts_markup(hostile: Table) -> None:
    text = markdown(hostile)
    rows = markdown_cells(text)
    assert {len(row) for row in rows} == {3}
    expected = [[cell.strip() for cell in row] for row in cells.row_texts(hostile)]
    assert rows[1:] == expected
    assert "<" not in text and "[bold]" not in text and "$x" not in text.replace(r"\$", "")


def test_underscores_inside_a_word_stay_readable_in_markdown() -> None:
    table = Table("t", (Column("n", "Name", "name"),), (Row(("resnext50_32x4d",)), Row(("__a__",))))
    assert "| resnext50_32x4d |" in markdown(table)
    assert r"| \_\_a\_\_" in markdown(table)


def test_csv_gives_back_what_a_terminal_shows(hostile: Table) -> None:
    rows = list(csv.reader(io.StringIO(csv_text(hostile), newline="")))[1:]
    for row, source in zip(rows, hostile.rows, strict=True):
        assert row[0].removeprefix("'") == cells.printable(str(source.cells[0]))
        assert not row[0].startswith(("=", "+", "-", "@"))


def test_no_control_character_reaches_a_csv_file(hostile: Table) -> None:
    keyed = Table(
        hostile.title,
        tuple(Column(f"key\x1b[2J{i}", c.title, c.unit) for i, c in enumerate(hostile.columns)),
        tuple(replace(row, best=frozenset({"key\x1b[2J0"})) for row in hostile.rows),
    )
    text = csv_text(keyed)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\ud800-\udfff]", text)
    assert r"\x1b[31mred\x1b[0m\x07" in text


def test_csv_of_numbers_is_not_taken_for_formulas() -> None:
    table = Table("t", (Column("n", "N", "decimal"),), (Row((-3.5,)), Row((None,)), Row((True,))))
    assert csv_text(table).splitlines() == ["n", "-3.5", '""', "True"]


def test_json_has_no_infinity() -> None:
    columns = (Column("n", "N", "decimal"),)
    table = Table("t", columns, (Row((float("nan"),)), Row((float("inf"),)), Row((1.5,))))
    data = json.loads(table_json(table), parse_constant=pytest.fail)
    assert [row["cells"] for row in data["tables"][0]["rows"]] == [[None], [None], [1.5]]


def test_no_name_leaves_its_latex_cell(hostile: Table) -> None:
    text = latex(hostile)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(hostile.rows)
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == 2 and line.endswith(r"\\")
        assert not re.search(r"(?<!\\)[#%]|\\input", line.replace(r"\textbackslash{}input", ""))
        assert line.count("{") - line.count(r"\{") == line.count("}") - line.count(r"\}")
    assert "[U+1F600]".replace("[", "{[}").replace("]", "{]}") in text


def test_long_latex_tables_break_over_pages() -> None:
    rows = tuple(Row((str(i),)) for i in range(100))
    text = latex(Table("t", (Column("n", "N"),), rows))
    assert r"\begin{longtable}{l}" in text and r"\endhead" in text and r"\begin{table}" not in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4089184256, "macs", "4.09 G"),
        (102228128, "bytes", "97.5 MiB"),
        (2**30, "bytes", "1.00 GiB"),
        (2**30 - 1, "bytes", "1.00 GiB"),
        (0, "seconds", "0 s"),
        (0.0031, "seconds", "3.10 ms"),
        (0.979, "percent", "97.9 %"),
        (0.9793, "ratio", "0.979×"),
        (25557032, "exact", "25,557,032"),
        (76.13, "decimal", "76.13"),
        (12345.678, "decimal", "12,346"),
        (0.01234, "decimal", "0.0123"),
        (4.1e12, "bytes_per_second", "4.10 TB/s"),
        (12, "flops_per_second", "12 FLOP/s"),
        (float("nan"), "macs", "–"),
        (float("-inf"), "seconds", "-∞"),
        (None, "macs", "–"),
        ("failed", "macs", "failed"),
        (True, "text", "yes"),
    ],
)
def test_values_read_as_their_unit_says(value: object, unit: str, text: str) -> None:
    assert cells.cell_text(value, unit) == text  # type: ignore[arg-type]


def test_the_caption_that_repeats_the_heading_of_a_page_is_for_screen_readers() -> None:
    tables = [Table(title, (Column("n", "N"),), (Row(("1",)),)) for title in ("Budget", "Layers")]
    text = html(Report("Budget", tuple(tables)))
    assert '<caption><span class="repeated">Budget</span></caption>' in text
    assert "<caption>Layers</caption>" in text


def test_a_negative_number_has_a_minus_and_a_name_keeps_its_hyphen() -> None:
    columns = (Column("name", "Name"), Column("left", "Left", "exact"), Column("how", "How"))
    table = Table("t", columns, (Row(("-a", -5_557_032, "-b")),))
    assert cells.row_texts(table) == [["-a", "−5,557,032", "-b"]]
    assert "-5557032" in csv_text(table) and "-5,557,032" in cells.ascii_safe("−5,557,032")


def test_only_a_long_text_breaks_into_lines_on_a_page() -> None:
    columns = (Column("layer", "Layer"), Column("kind", "Kind", "text"))
    rows = (Row(("a", "operator")), Row(("b", "between the network and its backward pass")))
    text = table_html(Table("t", columns, rows))
    assert '<td class="name">operator</td>' in text and '<td class="text">between' in text
