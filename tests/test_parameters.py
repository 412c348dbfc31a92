"""A message names a parameter as its reader writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import archscope
from archscope.cli import run
from archscope.errors import ArchscopeError
from archscope.parameters import (
    advice_in_toml,
    in_python,
    in_toml,
    in_words,
    marked,
    on_command_line,
    parameter,
)

PACKAGE = Path(archscope.__file__).parent


@pytest.mark.parametrize(
    ("text", "option", "keyword", "key", "words"),
    [
        (parameter("batch"), "--batch", "batch", "batch", "batch"),
        (parameter("batch", 8), "--batch 8", "batch=8", "batch = 8", "batch 8"),
        (
            parameter("train_only", "fc*"), "--train-only fc*", "train_only='fc*'",
            'train_only = "fc*"', "train_only fc*",
        ),
        (parameter("eval", True), "--eval", "eval=True", "eval = true", "eval"),
        (parameter("output", "a.md"), "-o a.md", "a.md", 'output = "a.md"', "output a.md"),
        (parameter("set", "k=v"), "--set k=v", "k=v", 'set = "k=v"', "set k=v"),
        ("no parameter --here", *["no parameter --here"] * 4),
        (parameter("input", "⟦a]⟧'\""), "--input ⟦a]⟧'\"", None, None, None),
    ],
)  # fmt: skip
def test_each_reader_has_a_way_of_writing_it(
    text: str, option: str, keyword: str | None, key: str | None, words: str | None
) -> None:
    assert on_command_line(text) == option
    assert keyword is None or in_python(text) == keyword
    assert key is None or in_toml(text) == key
    assert words is None or in_words(text) == words
    assert marked(text) == (not text.startswith("no"))


def test_advice_in_a_file_is_the_key_to_write() -> None:
    assert (
        advice_in_toml(f"its default is {parameter('input', '3x8x8')}") == 'write input = "3x8x8"'
    )
    assert advice_in_toml(f"leave out {parameter('input')}") == "leave out input"


def test_an_error_is_written_for_python_and_on_request_for_others() -> None:
    error = ArchscopeError(parameter("batch", 0), "is too small", f"give {parameter('batch', 1)}")
    assert str(error) == "batch=0: is too small; give batch=1"
    assert error.worded(on_command_line) == "--batch 0: is too small; give --batch 1"


def test_problem_and_remedy_have_one_mark_between_them() -> None:
    """What PyTorch and Click say may end like a sentence."""
    lines = {
        end: str(ArchscopeError("lenet", f"it fails{end}", "give one")) for end in ("", ".", "?")
    }
    assert lines[""] == lines["."] == "lenet: it fails; give one"
    assert lines["?"] == "lenet: it fails? Give one"
    assert str(ArchscopeError("lenet", "it fails.")) == "lenet: it fails."


MISTAKES = [
    lambda: archscope.summary("lenet", "3x5x5"),
    lambda: archscope.summary("lenet", batch=0),
    lambda: archscope.summary("lenet", train_only="nothing"),
    lambda: archscope.summary("torch.nn:Linear", in_features=4, out_features=2),
    lambda: archscope.summary("torch.nn:Linear", "4"),
    lambda: archscope.compare("lenet", "lenet", input="1xHx28"),
    lambda: archscope.memory("lenet", optimizer="lion"),
    lambda: archscope.formula("lenet", "1xHxh"),
    lambda: archscope.profile("lenet", plan=archscope.Plan(archscope.Settings(device="abacus"))),
    lambda: archscope.summary("lenet").save("run.xyz"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_python_is_never_told_of_options(number: int) -> None:
    with pytest.raises(ArchscopeError) as told:
        MISTAKES[number]()
    assert "--" not in str(told.value) and "-o " not in str(told.value)
    assert "⟦" not in str(told.value)


def test_the_command_line_is_told_of_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", "lenet", "--input", "3x5x5"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("archscope: --input 3x5x5: ") and "--input 1x28x28" in error


def test_notes_name_options_to_a_terminal_and_keywords_to_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["summary", "resnet18"]) == 0
    assert "; --depth 4 shows more." in " ".join(capsys.readouterr().out.split())
    found = " ".join(str(archscope.summary("resnet18")).split())
    assert "; depth=4 shows more." in found and "--" not in found.replace("─", "")


def test_no_room_below_the_command_line_writes_options() -> None:
    """In strings that are not docstrings: an option begins with two dashes and a letter."""
    code = (
        "import ast, pathlib, re, sys\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).rglob('*.py')):\n"
        "    room = path.relative_to(sys.argv[1]).parts[0]\n"
        "    tree = ast.parse(path.read_text())\n"
        "    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}\n"
        "    for n in ast.walk(tree):\n"
        "        text = n.value if isinstance(n, ast.Constant) else None\n"
        "        own = room in ('cli', 'render') or id(n) in docs\n"
        "        if isinstance(text, str) and not own:\n"
        "            if re.search(r'(^|[^-\\w])--([a-z]|$)', text):\n"
        "                print(path, n.lineno, repr(text))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(PACKAGE)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    allowed = (
        "measure/device.py", "resolve/vision.py", "saved/long_run.py", "study/cache.py",
        "parameters.py",
    )  # fmt: skip
    assert [line for line in found if not line.split()[0].endswith(allowed)] == []
