"""Every command and every block of Python in the documents is run, page by page.

A page's blocks run in order, in one folder and with one namespace:

- ` ```console `: a line `$ archscope …` is run; the lines below it are its output, where `…` alone
  stands for any number of lines. A command that prints more than that fails.
- ` ```python `: is executed; with `title="nets.py"` it is written into that file first.
- ` ```toml title="budget.toml" `: is written into that file.
- ` ```sh `: is for installing and for GPUs, and is not run.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import archscope
from archscope.cli import cli, run

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "```" in path.read_text())
FENCE = re.compile(r"^```(\w+)?(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"console", "python", "toml", "yaml", "sh"}


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*(part or "" for part in found.groups())) for found in FENCE.finditer(page)]


def commands(console: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the output that stands below it."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line.rstrip())
    return found


def matches(wanted: list[str], printed: list[str]) -> bool:
    """Whether the lines are those wanted, with any number of lines for each `…`."""
    pattern = "".join("(?:.*\n)*" if line == "…" else re.escape(line) + "\n" for line in wanted)
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in printed)) is not None


def run_page(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page.read_text()):
        assert block.language in LANGUAGES, f"{page.name}: name the block's language"
        if block.title:
            (folder / block.title).write_text(block.text)
        if block.language == "python":
            exec(compile(block.text, str(page), "exec", dont_inherit=True), names)
        if block.language == "console":
            for command, wanted in commands(block.text):
                run_command(command, wanted, capsys)


def run_command(command: str, wanted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    name, *arguments = shlex.split(command)
    assert name == "archscope"
    capsys.readouterr()
    code = run(arguments)
    output = capsys.readouterr()
    assert code == 0, f"{command}: {output.err}"
    assert matches(wanted, output.out.splitlines()), f"{command} printed:\n{output.out}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_s_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    run_page(page, tmp_path, capsys)


def test_the_check_of_the_documents_bites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, complaint in {
        "```console\n$ archscope summary lenet\nresnet\n…\n```": "printed",
        "```console\n$ archscope summary lenet\n```": "printed",
        "```console\n$ archscope summary lenett\n…\n```": "lenet",
        "```python\nassert False, 'wrong'\n```": "wrong",
        "```\nlanguage\n```": "language",
    }.items():
        page = tmp_path / "page.md"
        page.write_text(text + "\n")
        with pytest.raises(AssertionError, match=complaint):
            run_page(page, tmp_path, capsys)


README_COMMANDS = re.findall(r"`archscope ([^`]*)`", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("command", README_COMMANDS)
def test_a_command_of_the_readme_has_options_that_exist(command: str) -> None:
    """The README's commands are parsed, not run: some of them measure for minutes."""
    name, *arguments = shlex.split(command)
    if name == "COMMAND":
        return
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    found.make_context(name, arguments)


def test_the_reference_has_every_public_name_of_python() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    shown = set(re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE))
    for name in dir(archscope):
        home = getattr(getattr(archscope, name), "__module__", None)
        assert name == "__version__" or {home, f"{home}.{name}"} & shown, name


def test_a_command_has_the_name_that_is_typed() -> None:
    """Which the reference of commands heads its sections with."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None and command.name == name
