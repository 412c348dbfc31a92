"""What is proposed to the user of an own network, or of an input that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.cli import run

NETWORKS = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)
    def forward(self, x):
        return self.fc(x)

class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, image):
        return self.conv(image)

class Digits(Image):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 5)
        self.fc = nn.Linear(6 * 24 * 24, 10)  # 28 − 5 + 1 = 24
    def forward(self, image):
        return self.fc(self.conv(image).flatten(1))

class Timed(Flat):
    def forward(self, x, timestep):
        return self.fc(x) * timestep

class Named(Flat):
    def forward(self, *, hidden):
        return self.fc(hidden)

class Graph(Flat):
    def forward(self, x, edges):
        return self.fc(x)[edges[0]]

def make():
    return Flat()
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "nets.py",
            "write nets.py:Flat, nets.py:Image, nets.py:Digits, nets.py:Timed, nets.py:Named, "
            "nets.py:Graph or nets.py:make",
        ),
        ("nets.py:make", "its first layer fc takes 8 features; give one like --input 8\n"),
        ("nets.py:Image", "conv takes 3 channels; give one like --input 3x224x224\n"),
        ("nets.py:Digits", "conv takes 1 channel; give one like --input 1x28x28\n"),
        ("nets.py:Digits --input 1x32x32", "did you mean --input 1x28x28?"),
        ("nets.py:Digits --input 3x28x28", "did you mean --input 1x28x28?"),
        ("nets.py:Timed", "forward takes x and timestep, and its first layer fc takes 8 features"),
        ("nets.py:Timed", "give one like --input x=8,timestep=…"),
        ("nets.py:Named", "forward takes hidden by name, and its first layer fc takes 8 features"),
        ("nets.py:Named", "give one like --input hidden=8\n"),
        ("nets.py:Image --input (3,32,32)", "did you mean --input 3x32x32?"),
        ("nets.py:Image --input 3*32*32", "did you mean --input 3x32x32?"),
        ("nets.py:Image --input 3X32X32", "did you mean --input 3x32x32?"),
        ("nets.py:Image --input 3x32x32x", "did you mean --input 3x32x32?"),
        (
            "nets.py:Image --input 3x32x32 --sort mac",
            "--sort mac: unknown order; did you mean macs?",
        ),
        ("nets.py:Image --format yaml", "--format yaml: unknown format; use one of md, csv"),
        ("nets.py:Image --input 3,32,32", "did you mean --input 3x32x32?"),
        ("nets.py:Image --input 4x3x32x32", "did you mean --input 3x32x32 --batch 4?"),
        ("nets.py:Image --input 32x48x3", "did you mean --input 3x32x48?"),
        ("lenet --input 28x28x1", "did you mean --input 1x28x28?"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_a_remedy_is_a_command_that_works(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", *command.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and said in printed.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["summary", "nets.py:Flat width=2 depth=3"],
            "name nets.py:Flat alone, and beside it --set width=2 --set depth=3\n",
        ),
        (["compare", "nets.py:Flat"], "save the summary of each and name the files"),
        (["sweep", "nets.py:Flat", "--set", "n=2,3"], "write archscope sweep nets.py:Flat n=2,3\n"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_settings_in_the_wrong_place_are_shown_theirs(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("nets")
def test_several_inputs_are_those_of_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--input", "x=8", "--input", "timestep=[]:int64"]
    assert run(["summary", "nets.py:Timed", *given]) == 0
    assert " on x=1×8, timestep=[]:int64." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "given", "batched"),
    [
        ("Timed", "x=8,timestep=[]:int64", "x=4×8, timestep=[]:int64"),
        ("Graph", "x=8,edges=[2x10]:int64", "x=4×8, edges=2×10:int64"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_scalars_and_tensors_without_a_batch_are_given(
    network: str, given: str, batched: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", f"nets.py:{network}", "--input", given, "--batch", "4"]) == 0
    # 4 samples of 8 × 3 multiply-accumulates
    assert f"takes 96 MACs (192 FLOPs) on {batched}." in capsys.readouterr().out


def test_kernels_and_flops_are_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", "lenet", "--columns", "kernel_size,flops"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "conv2" in line)
    assert row.split()[-2:] == ["5×5", "480,000"]  # 2 × 16·10·10 · 6·5·5
