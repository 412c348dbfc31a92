"""The terminal view of a Table: aligned, complete where it can be, honest where it cannot."""

import re
from dataclasses import replace

import pytest

from archscope.render import cells
from archscope.render.text import terminal
from archscope.table import Column, Row, Table

NAME = Column("name", "Layer", "name")


def lines_of(table: Table, width: int = 120, **options: object) -> list[str]:
    return terminal(table, width, **options).splitlines()  # type: ignore[arg-type]


def numbers(unit: str, *values: object, **row: object) -> Table:
    columns = (NAME, Column("value", "Value", unit))  # type: ignore[arg-type]
    rows = tuple(Row((f"r{i}", value), **row) for i, value in enumerate(values))  # type: ignore[arg-type]
    return Table("numbers", columns, rows)


def tree(*depths: int) -> Table:
    return Table("tree", (NAME,), tuple(Row((f"d{d}",), depth=d) for d in depths))


def test_digits_end_in_one_column_whatever_the_prefix() -> None:
    rows = lines_of(numbers("count", 4089184256, 156, 2416))[3:]
    assert [row.split("  ", 1)[1].strip() for row in rows] == ["4.09 G", "156", "2.42 k"]
    assert len({re.search(r"\d(?=( [GMk])?$)", row).start() for row in rows}) == 1  # type: ignore[union-attr]


def test_a_total_stands_below_a_rule() -> None:
    table = Table("t", (NAME,), (Row(("a",)), Row(("sum",), kind="total")))
    assert [set(line) == {"─"} for line in lines_of(table)[2:]] == [True, False, True, False]


def test_branches_hang_together() -> None:
    drawn = lines_of(tree(0, 1, 2, 2, 1, 2, 0))[3:]
    assert drawn == ["d0", "├ d1", "│ ├ d2", "│ └ d2", "└ d1", "  └ d2", "d0"]


def test_a_lower_bound_and_the_best_are_marked_without_color() -> None:
    columns = (NAME, Column("macs", "MACs", "macs"))
    rows = (
        Row(("a", 10), lower_bound=frozenset({"macs"})),
        Row(("b", 5), best=frozenset({"macs"})),
        Row(("c", None), lower_bound=frozenset({"macs"})),
    )
    text = terminal(Table("t", columns, rows))
    assert "≥10" in text and "5*" in text and "≥–" not in text
    assert text.endswith("* marks the best.\n")


@pytest.mark.parametrize(
    ("fraction", "unicode_bar", "ascii_bar"),
    [
        (0.0, "", ""),
        (1e-9, "▏", "#"),
        (0.5, "█████", "#####"),
        (0.25, "██▌", "##"),
        (1.0, "██████████", "##########"),
        (1.7, "██████████", "##########"),
        (-0.5, "", ""),
        (None, "", ""),
        (float("nan"), "", ""),
    ],
)
def test_bars_fill_in_proportion(fraction: float | None, unicode_bar: str, ascii_bar: str) -> None:
    assert cells.bar(fraction, unicode=True) == unicode_bar.ljust(10)
    assert cells.bar(fraction, unicode=False) == ascii_bar.ljust(10)


def wide() -> Table:
    columns = (
        NAME,
        Column("macs", "MACs", "macs"),
        Column("first", "Goes first", "text", priority=9),
        Column("second", "Goes second", "text", priority=5),
        Column("third", "Goes third", "exact", priority=1),
    )
    row = Row(("layer1.0.conv1", 4089184256, "x" * 20, "y" * 20, 123456789))
    return Table("wide", columns, (row,))


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (120, []),
        (70, ["Goes first"]),
        (50, ["Goes first", "Goes second"]),
        (30, ["Goes first", "Goes second", "Goes third"]),
    ],
)
def test_columns_leave_by_priority_and_are_named(width: int, gone: list[str]) -> None:
    lines = lines_of(wide(), width)
    assert all(title not in " ".join(lines[1:3]) for title in gone)
    if not gone:
        assert lines[-1].startswith("layer1")
        return
    said = re.search(r"width: (.*); COLUMNS=(\d+) shows them\.\Z", " ".join(lines[4:]))
    assert said is not None and said[1] == ", ".join(gone)
    enough = int(said[2])
    assert "Left out" not in "".join(lines_of(wide(), enough))
    assert "Left out" in "".join(lines_of(wide(), enough - 1))
    assert max(map(len, lines)) <= width


def test_names_lose_their_middle_only_on_a_terminal_and_only_last() -> None:
    assert any("layer1.0.conv1" in line for line in lines_of(wide(), 16))
    assert any("layer…conv1" in line or "…" in line for line in lines_of(wide(), 20, shorten=True))
    assert all("…" not in line for line in lines_of(wide(), 24, shorten=True))


def test_one_long_name_drives_no_column_out_of_a_terminal() -> None:
    row = wide().rows[0]
    long = replace(row, cells=("n" * 200, *row.cells[1:]))
    table = replace(wide(), rows=(row, long))
    lines = lines_of(table, 100, shorten=True)
    assert max(map(len, lines)) <= 100
    assert "Goes second" in lines[1] and "n…n" in lines[4]
    assert lines[4].count("n") > 40  # no shorter than there is room for
    assert "n" * 200 in lines_of(table, 100)[-2]


def test_text_wraps_instead_of_leaving() -> None:
    reason = "counts two operations for every element of a batch normalisation"
    table = Table("t", (NAME, Column("why", "Reason")), (Row(("bn1", reason)), Row(("bn2", "-"))))
    lines = lines_of(table, 40)
    assert max(map(len, lines)) <= 40
    assert " ".join(line[5:].strip() for line in lines[3:-1]) == reason


def test_a_column_leaves_before_a_word_of_text_breaks() -> None:
    columns = (
        Column("name", "Layer", "name"), Column("n", "Launches", "exact", 1),
        Column("bound", "Class", "text"),
    )  # fmt: skip
    table = Table("t", columns, (Row(("conv", 123_456, "latency/occupancy-limited")),))
    lines = lines_of(table, width=len("Layer  Launches  latency/occupancy-limite"))
    assert any("latency/occupancy-limited" in line for line in lines)
    assert "123,456" not in "".join(lines)


def test_no_word_breaks_where_the_table_stays_too_wide() -> None:
    """In a pipe a name is never cut, so breaking the words beside it would gain nothing."""
    columns = (Column("name", "Layer", "name"), Column("why", "Why", "text"))
    table = Table("t", columns, (Row(("x" * 60, "counts other normalisations")),))
    assert "normalisations" in "\n".join(lines_of(table, width=66))


def test_columns_of_text_share_the_width_and_wrap_between_words() -> None:
    block = "[1×1, 64; 3×3, 64; 1×1, 256] ×3"
    columns = (Column("stage", "Stage", "name"), *(Column(key, key) for key in "xyz"))
    table = Table("t", columns, (Row(("conv2", *[block] * 3)),))
    for width in (len("Stage") + 3 * len("  [1×1,"), 60, 80):
        _, heading, rule, *lines = lines_of(table, width)
        assert max(map(len, (rule, *lines))) <= width
        assert sorted(" ".join(lines).split()) == sorted(["conv2", *3 * block.split()])
        first, second, third = (heading.index(key) for key in "xyz")
        assert abs((third - second) - (second - first)) <= 1


def test_a_shape_that_must_break_breaks_between_its_sides() -> None:
    sides = ["1×512×⌊(H+31)/32⌋×", "⌊(W+31)/32⌋"]
    assert cells.wrapped("".join(sides), len(sides[0]) + 3) == sides


def test_a_column_s_note_leaves_with_it() -> None:
    columns = (NAME, Column("value", "Value", "exact", 1, note="Value: what it is worth."))
    table = Table("t", columns, (Row(("a" * 20, 10**9)),), ("Always.",))
    assert lines_of(table)[-2:] == ["Always.", "Value: what it is worth."]
    assert "Always." in lines_of(table, 24) and "worth" not in terminal(table, 24)


def test_headings_break_at_every_space_before_a_table_is_too_wide() -> None:
    titles = ("one of several words", "another of several words")
    columns = (NAME, *(Column(title[:3], title, "exact") for title in titles))
    table = Table("t", columns, (Row(("a", 1, 2)),))
    halves, words = ("Layer  several words  several words", "Layer    words    words")
    assert halves in lines_of(table, len(halves))
    assert words in lines_of(table, len(halves) - 1)


def test_without_color_there_is_no_escape() -> None:
    assert "\x1b" not in terminal(wide())
    painted = terminal(wide(), color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == terminal(wide())


def test_other_encodings_get_ascii() -> None:
    table = Table("1×3 ≥ µ", (NAME, Column("share", "Share", "bar")), (
        Row(("日本", 0.5)), Row(("a", None), depth=1)))  # fmt: skip
    assert terminal(table, encoding="latin-1").isascii()
    assert "\\u65e5\\u672c" in terminal(table, encoding="ascii")
    assert not terminal(table, encoding="UTF-8").isascii()


def test_an_empty_table_says_so() -> None:
    assert "(no rows)" in terminal(Table("t", (NAME,), ()))


def test_deep_trees_stay_linear_in_size() -> None:
    def size(rows: int) -> int:
        return len(terminal(tree(*range(rows))))

    assert size(4000) < 2.2 * size(2000)
