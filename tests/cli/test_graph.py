"""`archscope graph` from end to end."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from archscope.cli import run


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_drawing_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"graph.{suffix}"
    assert run(["graph", "lenet", "-o", str(path)]) == 0
    first = path.read_bytes()
    assert len(first) > 3000
    assert run(["graph", "lenet", "-o", str(path)]) == 0
    assert path.read_bytes() == first


def test_the_terminal_lists_the_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "lenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lenet on 1×1×28×28: 8 nodes and 7 edges")
    assert any("5×5 conv 16" in line and "conv2 · Sigmoid" in line for line in lines)
    assert any(line.startswith("Reads: the nodes whose outputs") for line in lines)


def test_an_unknown_module_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "lenet", "conv9"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_network_that_returns_its_input_is_the_input_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\n\nclass Same(nn.Module):\n    def forward(self, x):\n"
        "        return x\n"
    )
    assert run(["graph", f"{file}:Same", "--input", "3x4x4"]) == 0
    assert "1 node and 0 edges" in capsys.readouterr().out.splitlines()[0]


def test_no_two_nodes_of_the_table_have_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "resnet18", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    names = [row["modules"] for row in rows]
    # The input, stem, its pool, a pooling and the classifier; three nodes of two equal blocks drawn
    # once, and in each of three stages seven of two blocks, the first with a shortcut.
    assert len(set(names)) == len(names) == 5 + 3 + 3 * 7
    assert "layer3.0.downsample.0 · BN" in names and "layer3.1 · ReLU" in names
