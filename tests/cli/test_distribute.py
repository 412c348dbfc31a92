"""`archscope distribute` as a command."""

import csv
import json

import pytest

from archscope.cli import run


def test_totals_layers_and_every_collective_as_a_file(tmp_path, capsys):
    rows, record = tmp_path / "rows.csv", tmp_path / "run.json"
    assert run(["distribute", "lenet", "--gpus", "64", "-o", str(rows), "-o", str(record)]) == 0
    printed = capsys.readouterr()
    assert all(line.startswith("wrote ") for line in printed.err.splitlines())
    first = printed.out.splitlines()[0]
    assert "bytes of the buffers" not in printed.out, "it has none"
    assert first.startswith("lenet under DistributedDataParallel on 64 GPUs: 1 collective a step, ")
    with rows.open() as file:
        reduced = [row for row in csv.DictReader(file) if row["collective"] == "all_reduce"]
    assert sum(int(row["size_bytes"]) for row in reduced) == 4 * 61_706
    assert json.loads(record.read_text())["archscope"] == "distribution"
    assert run(["distribute", str(record)]) == 0
    assert capsys.readouterr().out == printed.out


NETWORK = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(self.up(x).relu())

def stack():
    return nn.Sequential(Block(), Block())
"""


def test_every_option_reaches_the_plan(tmp_path, capsys):
    file, record = tmp_path / "nets.py", tmp_path / "run.json"
    file.write_text(NETWORK)
    given = ["distribute", f"{file}:stack", "--input", "16", "--plan", "fsdp+tp", "--gpus", "8"]
    given += ["--tp", "2", "--style", "0.up=colwise", "--style", "0.down=rowwise", "--wrap", "1"]
    given += ["--no-reshard-after-forward", "--optimizer", "sgd", "--on", "h100"]
    assert run([*given, "-o", str(record)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "on 8 GPUs, 2 a group" in printed
    assert "Predicted time of a step on NVIDIA H100" in printed
    saved = json.loads(record.read_text())
    layers = {
        (row["kind"], row["layer"]) for row in saved["collectives"] if row["phase"] != "start"
    }
    assert layers == {
        ("all_reduce", "0.down"), ("all_gather", ""), ("all_gather", "1"),
        ("reduce_scatter", ""), ("reduce_scatter", "1"),
    }  # fmt: skip
    gathered = [row["phase"] for row in saved["collectives"] if row["kind"] == "all_gather"]
    assert gathered == ["forward", "forward"] and saved["optimizer"] == "sgd"


@pytest.mark.parametrize(
    "given",
    [
        ["lenet", "--plan", "zigzag"],
        ["lenet", "--gpus", "1"],
        ["lenet", "--gpus", "many"],
        ["lenet", "--batch", "N"],
        ["lenet55"],
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(given, capsys):
    assert run(["distribute", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
