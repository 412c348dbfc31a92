"""Reports reach the terminal, the pipe and every `-o` file, whole or not at all."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archscope import archive, output
from archscope.cli import run
from archscope.errors import ArchscopeError
from archscope.files import noting_reads, read_text, replace_file
from archscope.formats import Drawn
from archscope.output import Outputs, Screen, check_outputs, emit
from archscope.records import Analysis, InputSpec, TensorSpec
from archscope.table import Axis, Chart, Column, Report, Row, Table

TABLE = Table("costs", (Column("name", "Layer", "name"), Column("macs", "MACs", "macs")), (
    Row(("conv1", 118013952)), Row(("total", 118013952), kind="total")))  # fmt: skip
CHART = Chart("costs", "bars", Axis("Layer"), Axis("MACs", "macs"), ())
REPORT = Report("costs", (TABLE,), (CHART,))


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_pipe_gets_120_columns_and_no_escapes() -> None:
    stream = io.StringIO()
    assert Screen.of(stream) == Screen(120, False, "utf-8", False)
    emit(REPORT, stream=stream)
    assert "118 M" in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_a_terminal_gets_color_unless_it_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Screen.of(Terminal()).color and Screen.of(Terminal()).shorten
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen.of(Terminal()).color
    monkeypatch.setenv("NO_COLOR", "")
    assert Screen.of(Terminal()).color
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of(Terminal()).color


def test_columns_decides_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert Screen.of(io.StringIO()).width == Screen.of(Terminal()).width == 77
    for nonsense in ("0", "-3", "wide"):
        monkeypatch.setenv("COLUMNS", nonsense)
        assert Screen.of(io.StringIO()).width == 120


@pytest.mark.parametrize("suffix", ["md", "csv", "json", "html", "tex", "png", "svg", "pdf", "MD"])
def test_each_suffix_writes_its_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run.{suffix}"
    emit(REPORT, [str(path)], io.StringIO())
    starts = {
        "md": b"**costs**", "csv": b"name,macs", "json": b"{", "html": b"<!DOCTYPE html>",
        "tex": b"% needs", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF",
    }  # fmt: skip
    assert path.read_bytes().startswith(starts[suffix.lower()])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_json_is_the_record_itself_where_there_is_one(tmp_path: Path) -> None:
    record = Analysis("net", InputSpec((TensorSpec((1, 3, 8, 8)),)), ())
    emit(Report("t", (TABLE,), record=record), [str(tmp_path / "run.json")], io.StringIO())
    assert archive.load(tmp_path / "run.json") == record
    emit(REPORT, [str(tmp_path / "table.json")], io.StringIO())
    assert json.loads((tmp_path / "table.json").read_text())["tables"][0]["title"] == "costs"


@pytest.mark.parametrize("name", ["run.xlsx", "run", ".md", "run.md.bak"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchscopeError, match=r"use one of \.md \.csv \.json \.html \.tex"):
        check_outputs([str(tmp_path / name)])


def test_a_place_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    for path in (tmp_path / "folder.md", tmp_path / "missing" / "run.md"):
        with pytest.raises(ArchscopeError, match=r"name a file in it|create it first"):
            check_outputs([str(path)])


def test_a_file_that_is_read_is_never_replaced(tmp_path: Path) -> None:
    trace, link, hard = (tmp_path / f"{name}.json" for name in ("trace", "link", "hard"))
    trace.write_text("{}")
    link.symlink_to(trace)
    hard.hardlink_to(trace)
    with noting_reads():
        read_text(trace)
        for path in (trace, link, hard):
            with pytest.raises(ArchscopeError, match="is a file that the command reads"):
                check_outputs([str(path)])
            with pytest.raises(ArchscopeError, match="is a file that the command reads"):
                replace_file(path, b"")
        check_outputs([str(tmp_path / "run.json")])
    check_outputs([str(trace)])  # what is asked next may replace it


def test_a_figure_needs_a_chart_and_all_else_is_written_without(tmp_path: Path) -> None:
    outputs = [str(tmp_path / "run.png"), str(tmp_path / "run.md")]
    stream = io.StringIO()
    with pytest.raises(ArchscopeError, match="has no figure"):
        emit(Report("t", (TABLE,)), outputs, stream)
    assert [path.name for path in tmp_path.iterdir()] == ["run.md"]
    assert TABLE.title in stream.getvalue()


@pytest.mark.parametrize("command", ["check", "verify", "diff", "explain", "generate", "formula"])
def test_a_command_without_figures_refuses_one_before_any_work(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a network that nobody knows: that would be the next complaint."""
    names = ["nowhere"] * (2 if command == "diff" else 1)
    assert run([command, *names, "-o", "figure.png"]) == 2
    assert "figure.png: this report has no figure" in capsys.readouterr().err


def test_no_table_is_wider_than_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets names in full, and shortened ones where nothing else would do."""
    columns = (Column("name", "Layer", "name"), Column("time", "Time", "seconds"))
    for longest in (20, 200):
        name = "".join(f"{index:04d}" for index in range(longest // 4))
        monkeypatch.setenv("COLUMNS", "60")
        stream = io.StringIO()
        emit(Report("t", (Table("t", columns, (Row((name, 1.0)),)),)), stream=stream)
        assert max(map(len, stream.getvalue().splitlines())) <= 60
        assert (name in stream.getvalue()) is (longest == 20)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "run.md"
    path.write_text("old")

    def fail(self: Path, target: Path) -> None:
        raise failure

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((ArchscopeError, KeyboardInterrupt)):
        emit(REPORT, [str(path)], io.StringIO())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.md"]


def test_an_overwritten_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    emit(REPORT, [str(link)], io.StringIO())
    assert link.is_symlink() and real.read_text().startswith("**costs**")
    assert real.stat().st_mode & 0o777 == 0o640


def test_several_tables_share_one_file_but_csv(tmp_path: Path) -> None:
    report = Report("all", (TABLE, TABLE))
    emit(report, [str(tmp_path / f"run.{s}") for s in ("md", "csv", "html")], io.StringIO())
    assert (tmp_path / "run.md").read_text().startswith("# all\n\n**costs**")
    assert (tmp_path / "run.csv").read_text().count("name,macs") == 1  # one file is one table
    assert (tmp_path / "run.html").read_text().count("<table>") == 2


def test_a_lone_surrogate_does_not_stop_a_file(tmp_path: Path) -> None:
    table = Table("t", (Column("name", "Layer", "name"),), (Row(("\ud800",)),))
    paths = [tmp_path / f"run.{suffix}" for suffix in ("md", "csv", "html", "tex", "json")]
    emit(Report("t", (table,)), [str(path) for path in paths], io.StringIO())
    assert all(r"\ud800" in p.read_text("utf-8") or "ud800" in p.read_text("utf-8") for p in paths)


@pytest.mark.parametrize("rows", [1, 20000])
def test_a_reader_that_leaves_is_no_error(rows: int) -> None:
    code = (
        "import sys\n"
        "from archscope.output import emit\n"
        "from archscope.table import *\n"
        f"rows = tuple(Row((f'layer{{i}}',)) for i in range({rows}))\n"
        "sys.stdin.read()\n"
        "emit(Report('t', (Table('t', (Column('n', 'Layer', 'name'),), rows),)))\n"
    )
    pipe = subprocess.PIPE
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, env=buffered
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()  # the reader is gone before the first line
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["models"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_one_line(arguments: list[str]) -> None:
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "archscope", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, env=buffered, check=False,
        )  # fmt: skip
    assert done.stderr == (
        "archscope: standard output: cannot be written (No space left on device); "
        "send it elsewhere\n"
    )
    assert done.returncode == 2


def test_an_ascii_stream_gets_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    emit(Report("1×3", (TABLE,)), stream=stream)
    assert b"118 M" in stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_importing_the_module_imports_no_renderer() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import {output.__name__}; "
        "print([m for m in ('rich', 'tabulate', 'matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_browser_shows_the_page_where_there_is_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser of the terminal, which Python would find without a screen, runs no scripts."""
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: not shown.append(address))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    page = tmp_path / "page.html"
    outputs = Outputs.of((str(page),), Drawn(), opened=True)
    emit(REPORT, outputs)
    assert f"no browser was found; open {page}" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":0")
    emit(REPORT, outputs)
    assert f"opened {page} in a browser" in capsys.readouterr().err
    assert shown == [page.as_uri()]
