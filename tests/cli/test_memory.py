"""`archscope memory` as a command."""

import pytest

from archscope.cli import run


def test_it_prints_kinds_and_layers_and_writes_the_timeline(tmp_path, capsys):
    figure, record = tmp_path / "memory.svg", tmp_path / "memory.json"
    given = ["memory", "resnet18", "--input", "3x64x64", "--batch", "4", "--optimizer", "adam"]
    assert run([*given, "-o", str(figure), "-o", str(record)]) == 0
    printed = capsys.readouterr()
    assert "Optimiser state" in printed.out and "saved for the backward pass" in printed.out
    assert all(line.startswith("wrote ") for line in printed.err.splitlines())
    assert figure.read_text().startswith("<?xml") and '"memory"' in record.read_text()


def test_the_batch_that_fits(capsys):
    assert run(["memory", "lenet5", "--fit", "64MiB", "--inference", "--device", "cpu"]) == 0
    assert "is the largest that fits into 64.0 MiB" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given",
    [
        ["lenet5", "--fit", "lots"],
        ["lenet5", "--fit", "64MiB", "--batch", "2"],
        ["lenet5", "--fit", "1KiB"],
        ["lenet5", "--batch", "N"],
        ["lenet5", "--optimizer", "lion"],
        ["lenet5", "--input", "1x4x4"],
        ["lenet55"],
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(given, capsys):
    assert run(["memory", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["memory", "signal", "verify", "summary"])
def test_a_batch_of_nothing_is_refused_without_offering_a_symbol(command, capsys):
    assert run([command, "lenet", "--batch", "0"]) == 2
    told = capsys.readouterr().err
    assert "give a whole number from 1;" in told and "or a symbol" not in told


@pytest.mark.parametrize(
    ("command", "remedy"), [("memory", "--inference"), ("signal", "archscope summary")]
)
def test_a_network_that_returns_nothing_is_told_by_its_name(command, remedy, tmp_path, capsys):
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\n\n\n"
        "class Mute(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(4, 4)\n\n"
        "    def forward(self, x):\n        self.fc(x)\n"
    )
    assert run([command, f"{file}:Mute", "--input", "4"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert "nets.py:Mute: returns no floating-point tensor" in told and remedy in told


def test_a_plan_says_first_whether_it_fits(capsys):
    given = ["memory", "resnet18", "--input", "3x64x64", "--batch", "16", "--optimizer", "adam"]
    assert run([*given, "--plan", "24GiB"]) == 0
    first, heading, *rest = capsys.readouterr().out.splitlines()
    assert "fits into 24.0 GiB as it is" in first
    assert heading.split() == ["Measure", "Peak", "Fits"]  # without a measure nothing is paid
    assert any("What it costs" in line for line in rest)
    assert run([*given, "--plan", "24GiB", "--fit", "24GiB"]) == 2
    assert run([*given, "--plan", "24GiB", "--inference"]) == 2


def test_measures_are_options_and_stand_in_the_title(capsys):
    given = ["memory", "resnet18", "--input", "3x64x64", "--batch", "4", "--dtype", "amp"]
    options = ["--checkpoint", "layer*", "--zero", "2", "--gpus", "4", "--accumulate", "2"]
    assert run([*given, *options]) == 0
    title = " ".join(capsys.readouterr().out.split("Kind")[0].split())
    for text in ("amp", "checkpointed layer*", "ZeRO stage 2 on 4 GPUs", "2 passes per update"):
        assert text in title
