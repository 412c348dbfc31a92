"""`archscope compare` on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from archscope.cli import run
from archscope.measure.session import Session


def test_names_and_saved_records_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "lenet.json"
    assert run(["summary", "lenet", "-o", str(saved)]) == 0
    capsys.readouterr()
    assert run(["compare", str(saved), "lenet5", "-o", str(tmp_path / "all.json")]) == 0
    out = capsys.readouterr().out
    assert "lenet · lenet5" in out
    assert "MACs by output stride" in out
    written = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    totals = written["tables"][0]
    assert [column["title"] for column in totals["columns"]] == ["Total", "lenet", "lenet5",
                                                                "÷ lenet"]  # fmt: skip
    macs = next(row for row in totals["rows"] if row["cells"][0] == "MACs forward")
    assert macs["cells"][1] == 416520  # LeCun 1998's convolutions and linear layers on 28×28
    assert macs["unit"] == "macs"


@pytest.mark.parametrize("suffix", ["md", "csv", "html", "tex", "png", "svg", "pdf"])
def test_every_format_is_written(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"out.{suffix}"
    assert run(["compare", "lenet", "lenet5", "-o", str(target)]) == 0
    assert target.stat().st_size > 200


def test_the_layout_of_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "resnet50", "resnext50_32x4d", "--layout", "paper"]) == 0
    out = capsys.readouterr().out
    assert "[1×1, 128; 3×3, 128, C=32; 1×1, 256] ×3" in out
    assert "# params" in out


def test_a_match_prints_what_it_solved(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--match", "params", "--by", "width"]
    assert run(["compare", "resnet20_cifar", "resnet56_cifar", *arguments]) == 0
    out = capsys.readouterr().out
    assert "Solved for the parameters of resnet20_cifar" in out
    assert "resnet56_cifar (width=" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet"], "at least two"),
        (["lenet", "lenett"], "lenett"),
        (["lenet", "lenet5", "--by", "width"], "--by"),
        (["lenet", "lenet5", "--device", "cpu"], "--device"),
        (["lenet", "lenet5", "--match", "macs"], "no known width keyword"),
        (["lenet", "lenet5", "--match", "macs", "--by", "widht"], "widht"),
        (["lenet", "lenet5", "--layout", "circle"], "circle"),
        (["lenet", "lenet5", "-o", "out.xyz"], "out.xyz"),
        (["lenet", "missing.json"], "missing.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_networks_are_measured_in_turns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "_detail", lambda *_: None)  # layers and roofs take seconds
    quick = ["--device", "cpu", "--max-seconds", "0.05", "--eval", "--batch", "2"]
    assert run(["compare", "lenet", "lenet_bn", "--time", *quick]) == 0
    said = capsys.readouterr()
    announced = said.err.splitlines()[0]
    assert "measuring lenet, lenet_bn in turns on cpu, at most about" in announced
    assert "load" in announced
    answer = " ".join(said.out.split("\n\n")[0].split())
    assert re.search(r"(equally fast|faster|is faster) .*in inference at batch 2", answer)
    assert "which both networks ran under the same load" in " ".join(said.out.split())


def test_how_to_measure_goes_with_measuring(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--max-seconds", "1"], ["--amp"], ["--device", "cpu"]):
        assert run(["compare", "lenet", "lenet5", *option]) == 2
        assert f"{option[0]}: goes with --time; add --time" in capsys.readouterr().err
    assert run(["compare", "lenet", "lenet5", "--time", "--precision", "0"]) == 2
    assert "--precision 0: is out of range" in capsys.readouterr().err
