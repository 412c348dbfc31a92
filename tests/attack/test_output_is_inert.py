"""Names out of files move no cursor, run in no spreadsheet and are no markup, wherever shown."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from archscope.cli import run
from archscope.render import html
from archscope.render.markdown import markdown
from archscope.render.plain import csv_text
from archscope.table import Column, Row, Table
from tests.attack.figures import noted

ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
NAMES = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m\x90payload\x9c",
    "\u202egnp.exe\u2066\u2069",
    "line\r\nbreak\u2028and\u2029more",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "  =1+1",
    "\u00a0＝HYPERLINK(1)",
    "a;=1+1",
    "a,=1+1",
    "| a | b |\n# heading",
    "- item",
    "1. item",
    "--- ",
    "$\\input{/etc/passwd}$",
    "⟦batch=__import__('os')⟧",
    "[/red] [bold]b",
    "%0A::error::x",
    "\ud800\ufffe",
)
COMMANDS = (
    ["summary"], ["explain"], ["memory"], ["formula"], ["receptive-field"], ["compare", "lenet"],
    ["diff", "good.json"], ["sweep-groups", "1", "--base"], ["graph"], ["signal"], ["predict"],
    ["trace"], ["check"], ["verify"],
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.json"
    assert run(["summary", "lenet", "--backward", "-o", str(path)]) == 0
    return path


def named(value: Any, name: str, place: tuple[str, ...] = ()) -> Any:
    """The record with one name put wherever a record holds a free text."""
    if isinstance(value, dict):
        return {key: named(item, name, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item, name, place) for item in value]
    free = ("name", "kind", "model", "settings", "device", "unknown_layers")
    if isinstance(value, str) and place and place[-1] in free and value:
        return f"{value}{name}" if place[-1] == "settings" else f"{name}{value}"
    return value


@pytest.fixture
def here(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_bytes(good.read_bytes())
    return tmp_path


def write(name: str) -> None:
    record = named(json.loads(Path("good.json").read_text(encoding="utf-8")), name)
    Path("bad.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_hostile_record_is_shown_harmlessly(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write(NAMES[number])
    shown = 0
    for command in COMMANDS:
        code = run([*command, "bad.json"])
        told = capsys.readouterr()
        assert code in (0, 1, 2)
        assert not ACTIVE.search(told.out + told.err), (command, told)
        assert "internal error" not in told.err and told.err.count("\n") <= 1
        noted("hostile names", 1, tracebacks="Traceback" in told.err)
        shown += code == 0
    assert shown >= 3  # summary, explain and diff ask for no network


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_file_of_a_hostile_record_is_harmless(number: int) -> None:
    write(NAMES[number])
    for command in (["summary"], ["explain"], ["diff", "good.json"]):
        files = [f"out.{suffix}" for suffix in ("md", "csv", "html", "tex", "json")]
        assert run([*command, "bad.json", *(word for file in files for word in ("-o", file))]) == 0
        texts = [Path(file).read_text(encoding="utf-8") for file in files]
        assert not any(map(ACTIVE.search, texts))
        check_markdown(texts[0])
        check_csv(texts[1])
        check_page(texts[2])
        tex = re.sub(r"\\textbackslash\{\}", "", texts[3])
        assert not re.search(r"\\(input|write|include|openout)", tex)
        noted("hostile names", len(files))


def check_markdown(text: str) -> None:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {token.type for token in tokens}
    kinds |= {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "ordered_list_open", "hr", "link_open"}
    assert not kinds & {"image", "code_block", "fence", "blockquote_open", "code_inline"}


def check_csv(text: str) -> None:
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            for cell in row:
                assert not re.match(r"\s*[=@＝＋－＠]|\s*[+-](?![\d.]+\Z)", cell), row


@cache
def tags(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: list[tuple[str, tuple[str, ...]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(  # type: ignore[method-assign]
        (tag, tuple(key for key, _ in attributes))
    )
    parser.feed(text)
    return tuple(found)


def check_page(text: str) -> None:
    assert not {key for _, keys in tags(text) for key in keys if key.startswith("on")}
    scripts = re.findall(r'<script( type="application/json" id="data")?>(.*?)</script>', text, re.S)
    assert [tag for tag, _ in tags(text)].count("script") == len(scripts)
    run_there = [html.script_hash(script) for data, script in scripts if not data]
    assert len(run_there) <= 1 and all(f"script-src {script}" in text for script in run_there)
    assert not {"img", "iframe", "b", "a"} & {tag for tag, _ in tags(text)}


def table(*texts: str) -> Table:
    rows = tuple(Row((text,)) for text in texts)
    return Table("t", (Column("n", "Name", "name"),), rows, notes=texts)


@pytest.mark.parametrize("number", ["-3.5", "+1e-3", "-12", " -7", "-.5", "+4 %".replace(" ", "")])
def test_a_spreadsheet_gets_numbers_as_they_are(number: str) -> None:
    assert csv_text(table(number)).splitlines()[1] == number


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        " \u3000=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "-1+1",
        "-",
        "@SUM(1)",
        "\t1",
        "\r1",
        "1;=2",
        "-1x",
    ],
)
def test_a_spreadsheet_gets_no_formula(text: str) -> None:
    line = csv_text(table(text)).splitlines()[1]
    assert line == text.replace("\t", r"'\t").replace("\r", r"'\r") or "'" in line
    check_csv(line)


@pytest.mark.parametrize(
    "note",
    ["# h", "- i", "+ i", "* i", "1. i", "12) i", "---", "===", "    code", "> q", "~~~", "```",
     "<b>", "[a]: http://b", "| a |\n|---|", "a  \n# b", "\t- x", "<!-- ", "***", "_ _ _"],
)  # fmt: skip
def test_a_markdown_note_is_a_paragraph(note: str) -> None:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(table(note)))
    last = [token.type for token in tokens][-3:]
    assert last == ["paragraph_open", "inline", "paragraph_close"]
    assert [child.type for child in tokens[-2].children or ()] == ["text"] or note == "_ _ _"


def test_a_long_name_makes_no_long_error(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    name = "x" * 2_000_000
    write_long = {"archscope": "analysis", "schema": 1, "model": name, name: 1}
    Path("long.json").write_text(json.dumps(write_long), encoding="utf-8")
    Path("long.toml").write_text(f'[[budget]]\nmodel = "{name}"\nmax_macs = 1\n')
    for command in (["summary", "long.json"], ["check", "long.toml"], ["summary", name]):
        assert run(command) == 2
        told = capsys.readouterr().err
        assert len(told) < 10_000 and told.count("\n") == 1
        noted("bad inputs", 1)


@pytest.mark.parametrize(
    "command",
    [
        ["\x1b[2J"], ["summary", "lenet", "--\x1b[2J"], ["summary", "\x9b2J"],
        ["summary", "lenet", "--input", "1x\u202e2"], ["sweep", "lenet", "batch=\x1b[2J"],
        ["summary", "lenet", "-o", "\x1b[2J.md/x.md"], ["check", "\x1b[2J.toml"],
        ["summary", "lenet", "--set", "\x1b[2J=1"], ["predict", "lenet", "--on", "\x9b2J"],
        ["trace", "\x1b[2J.json"], ["--debug", "summary", "\x1b[2J"],
    ],
)  # fmt: skip
def test_what_was_typed_comes_back_harmless(
    command: list[str], capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    assert run(command) == 2
    told = capsys.readouterr()
    assert told.out == "" and not ACTIVE.search(told.err) and told.err.strip()
    noted("hostile names", 1)
