"""`--chart` and `--size`: one figure, for a paper."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from archscope.cli import run


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def test_one_chart_of_several_is_drawn_at_its_size(tmp_path: Path) -> None:
    whole, one = tmp_path / "whole.png", tmp_path / "one.png"
    command = ["sweep", "lenet", "num_classes=10,20"]
    assert run([*command, "-o", str(whole)]) == 0
    assert run([*command, "-o", str(one), "--chart", "macs", "--size", "3.3x2.4"]) == 0
    assert size_of(one) == (660, 480)  # 200 dots an inch
    assert size_of(whole)[0] > 2 * 660


def test_a_wrong_name_lists_the_charts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.svg"
    given = ["sweep", "lenet", "num_classes=10,20", "-o", str(path), "--chart", "nothing"]
    assert run(given) == 2
    error = capsys.readouterr().err
    assert "--chart nothing" in error and "macs" in error and "params" in error
    assert not path.exists()


@pytest.mark.parametrize("size", ["3.3", "axb", "0x3", "3x", "1e9x2", "nanx2"])
def test_a_size_must_be_one(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "lenet", "-o", "x.svg", "--size", size]) == 2
    assert "write it like 6.8x4" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--chart", "memory"], ["--size", "3x2"]])
def test_without_a_figure_they_decide_nothing(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["memory", "lenet", *option]) == 2
    assert "goes with a figure" in capsys.readouterr().err


def test_a_summary_has_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "lenet.png"
    assert run(["summary", "lenet", "-o", str(path), "--size", "3.3x1.8"]) == 0
    assert size_of(path) == (660, 360)
