"""An option given twice: one that takes several values is refused, of any other the last counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.cli import run


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["predict", "lenet", "--on", "a100", "--on", "h100,v100"],
            "--on: given 2 times; write --on a100,h100,v100",
        ),
        (
            ["profile", "lenet", "--batch", "1", "--batch=8", "--batch", "32"],
            "--batch: given 3 times; write --batch 1,8,32",
        ),
        (
            ["summary", "lenet", "--columns", "params", "--columns", "macs"],
            "--columns: given 2 times; write --columns params,macs",
        ),
    ],
)
def test_an_option_that_takes_several_values_is_given_once(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"archscope: {said}\n"


def test_options_that_may_repeat_and_switches_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n"
        "class Sum(nn.Linear):\n"
        "    def __init__(self, width=4, out=3):\n"
        "        super().__init__(width, out)\n\n"
        "    def forward(self, x, y):\n"
        "        return super().forward(x) + super().forward(y)\n"
    )
    inputs = ["--input", "5", "--input", "5", "--set", "width=5", "--set", "out=2"]
    twice = ["--strict", "--strict", "-o", "a.csv", "-o", "a.json"]
    assert run(["summary", "nets.py:Sum", *inputs, *twice]) == 0
    capsys.readouterr()
    assert (tmp_path / "a.csv").is_file() and (tmp_path / "a.json").is_file()


def test_help_is_shown_whatever_is_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "lenet", "--on", "a100", "--on", "h100", "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_last_of_any_other_option_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """As in other programs: a script's own settings can be overridden."""
    assert run(["summary", "lenet", "--batch", "1", "--batch", "8"]) == 0
    assert "on 8×1×28×28" in capsys.readouterr().out
