"""A file that a command or a function reads is not replaced by what it writes, under any name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope.cli import run
from archscope.errors import ArchscopeError
from tests.attack.figures import noted

COMMANDS = (
    ["summary", "run.json"], ["summary", "run.json", "alexnet"], ["explain", "run.json"],
    ["graph", "run.json"], ["formula", "run.json"], ["memory", "run.json"],
    ["receptive-field", "run.json"], ["distribute", "run.json"], ["generate", "run.json"],
    ["predict", "run.json", "--on", "a100"], ["predict", "lenet", "--on", "run.json"],
    ["compare", "run.json", "lenet"], ["diff", "run.json", "lenet"], ["verify", "run.json"],
    ["sweep", "run.json", "batch=1,2"], ["sweep-groups", "1,2", "--base", "run.json"],
    ["profile", "run.json"], ["signal", "run.json"], ["trace", "run.json"], ["merge", "run.json"],
    ["check", "run.json"], ["check", "budget.toml"], ["summary", "hf:gpt2", "--set", "a=run.json"],
)  # fmt: skip
FUNCTIONS: tuple[Callable[[], Any], ...] = (
    lambda: archscope.summary("run.json"), lambda: archscope.load("run.json"),
    lambda: archscope.compare("run.json", "lenet"), lambda: archscope.check("budget.toml"),
    lambda: archscope.formula("run.json"), lambda: archscope.diff("run.json", "lenet"),
)  # fmt: skip
BUDGET = '[[budget]]\nmodel = "lenet"\nbaseline = "run.json"\nmax_growth = "1%"\n'
REFUSED = "is a file that the command reads, and would replace"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`run.json`, with a link and a second name, and a budget that reads it."""
    monkeypatch.chdir(tmp_path)
    archscope.summary("lenet").save("run.json")
    Path("budget.toml").write_text(BUDGET, encoding="utf-8")
    Path("hard.json").hardlink_to("run.json")
    if os.name != "nt":
        Path("soft.json").symlink_to("run.json")
    return tmp_path / "run.json"


def test_no_command_replaces_what_it_reads(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record.read_bytes()
    for command in COMMANDS:
        for name in ("run.json", "hard.json", "soft.json", str(record)):
            if Path(name).exists():
                noted("overwriting", 1)
                assert run([*command, "-o", name]) == 2, command
                told = capsys.readouterr()
                assert told.err.count("\n") == 1 and REFUSED in told.err, (command, told.err)
                assert record.read_bytes() == before, command


def test_no_other_file_of_a_command_is_one_that_it_reads(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in record.parent.iterdir()}
    for command in (
        ["check", "budget.toml", "--junit", "budget.toml"],
        ["check", "budget.toml", "--junit", "hard.json"],
        ["verify", "run.json", "--save", "hard.json"],
        ["sweep", "lenet", "batch=1,2", "--journal", "new.csv", "-o", "new.csv"],
    ):
        noted("overwriting", 1)
        assert run(command) == 2
        assert REFUSED in capsys.readouterr().err
        assert {path: path.read_bytes() for path in record.parent.iterdir()} == before


def test_no_answer_is_saved_where_it_was_read(record: Path) -> None:
    before = record.read_bytes()
    for function in FUNCTIONS:
        answer = function()
        for name in ("run.json", "hard.json"):
            noted("overwriting", 1)
            with pytest.raises(ArchscopeError, match=REFUSED):
                answer.save(name)
            assert record.read_bytes() == before
    archscope.summary("alexnet").save("run.json")  # of another question, which read nothing
    assert record.read_bytes() != before
