"""`archscope explain` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.cli import run
from archscope.records import BatchSweep, Environment, Measurement, Profile

GOLDEN = Path(__file__).parent.parent / "golden"

PRINTED = {
    "lenet": ["lenet"],
    "resnet50_bottleneck": ["resnet50", "layer1.0"],
    "resnext50_bottleneck": ["resnext50_32x4d", "layer2.0"],
    "densenet121_block": ["densenet121", "features.denseblock1", "features.transition1"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Golden files, read through by hand against the papers' tables."""
    monkeypatch.setenv("COLUMNS", "110")
    assert run(["explain", *PRINTED[name]]) == 0
    printed = capsys.readouterr().out
    assert printed == (GOLDEN / f"explain_{name}.txt").read_text()
    assert max(map(len, printed.splitlines())) <= 110


def test_formulas_are_latex_in_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lenet.md"
    assert run(["explain", "lenet", "conv1", "pool1", "fc1", "-o", str(file)]) == 0
    assert file.read_text() == (GOLDEN / "explain_lenet.md").read_text()


def test_every_format_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"net.{suffix}" for suffix in ("html", "tex", "csv", "json")]
    arguments = [piece for file in files for piece in ("-o", str(file))]
    assert run(["explain", "lenet", "conv1", *arguments]) == 0
    page, tex, csv, record = (file.read_text() for file in files)
    assert "<var>C<sub>out</sub></var>" in page
    assert "<script" not in page
    assert r"\left\lfloor\frac{28 + 2 \cdot 2 - 5}{1}\right\rfloor + 1 = 28" in tex
    assert "conv1,Parameters,(C_in·K_h·K_w + 1)·C_out = (1·5·5 + 1)·6 = 156" in csv
    assert json.loads(record)["archscope"] == "analysis"


def test_a_network_without_gradients_is_explained_forward(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pooled.py"
    file.write_text("from torch import nn\nPooled = lambda: nn.Sequential(nn.MaxPool2d(2))\n")
    assert run(["explain", f"{file}:Pooled", "--input", "3x8x8"]) == 0
    printed = capsys.readouterr().out
    assert "⌊(8 + 2·0 − 2)/2⌋ + 1 = 4" in printed
    assert "Backward" not in printed


def test_a_saved_record_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "lenet.json"
    assert run(["summary", "lenet", "-o", str(record)]) == 0
    assert run(["explain", str(record), "conv1"]) == 0
    assert "= 122,304" in capsys.readouterr().out


def test_a_stream_without_unicode_gets_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archscope.render.derivation import terminal
    from archscope.table import Derivation, Step

    derived = Derivation("conv", (Step("Output", "⌊(28 + 2·2 − 5)/1⌋ + 1 = 28"),))
    assert terminal(derived, encoding="ascii").splitlines()[1] == (
        "  Output  floor((28 + 2*2 - 5)/1) + 1 = 28"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18", "layer9"], "layer9: resnet18 has no such layer"),
        (["resnet18", "--input", "3xHxW"], "has symbols, and explain works with numbers"),
        (["resnet5"], "resnet5"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_batch_chooses_from_a_file_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = {"inference": Measurement((0.25,) * 8, 0.25, 0.25)}
    held = [analyse(target("lenet", batch=batch)) for batch in (2, 8)]
    profiles = tuple(
        Profile("lenet", count.input, Environment("cpu"), samples, analysis=count) for count in held
    )
    saved = tmp_path / "run.json"
    saved.write_text(archive.dumps(BatchSweep(profiles)))
    assert run(["explain", str(saved), "conv1"]) == 2
    assert "holds batches 2, 8; choose one with --batch" in capsys.readouterr().err
    assert run(["explain", str(saved), "conv1", "--batch", "8"]) == 0
    assert "8×1×28×28 → 8×6×28×28" in capsys.readouterr().out
    assert run(["diff", str(saved), "lenet", "--batch", "8"]) == 0
    assert "No total changed" in capsys.readouterr().out
