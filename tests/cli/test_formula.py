"""`archscope formula` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.cli import run


def test_resnet50_is_printed_in_short_and_exact_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert run(["formula", "resnet50"]) == 0
    printed = capsys.readouterr().out
    assert "MACs, H = 32h, W = 32w              16,384·N·(5,091·h·w + 125)" in printed
    assert "MACs are linear in the batch N." in printed
    assert "MACs are linear in pixels (H·W); doubling H and W costs 4.0×" in printed
    assert "Holds for N ≥ 1, H ≥ 1, W ≥ 1." in printed
    assert "Checked against counts at sizes that the formulas were not fitted to" in printed


def test_every_text_format_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"net.{suffix}" for suffix in ("md", "html", "tex", "csv", "json")]
    arguments = [piece for file in files for piece in ("-o", str(file))]
    assert run(["formula", "lenet", *arguments]) == 0
    for file in files:
        # A CSV file holds the plain number, tables have separators.
        plain = file.suffix == ".csv"
        assert ("117600" if plain else "117,600") in file.read_text(), file


def test_summary_takes_symbols(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["summary", "resnet18", "--input", "3xHxW", "--batch", "N"]) == 0
    printed = capsys.readouterr().out
    assert "N×64×⌊(H+1)/2⌋×⌊(W+1)/2⌋" in printed
    assert "Counts are those at N = 1, H = 224, W = 224" in printed


@pytest.mark.parametrize("command", ["formula", "summary"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18", "--input", "CxHxW"], "C is used for the channels"),
        (
            ["resnet18", "--input", "3xNxW", "--batch", "N"],
            "N is used for the batch and for a side",
        ),
        (["resnet18", "--input", "3xhxH"], "clash"),
        (["vit_b_16", "--input", "3xHxW"], "give the number: --input 3x224x224"),
    ],
)
def test_a_mistake_is_one_line(
    command: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
