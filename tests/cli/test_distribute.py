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
    assert first.startswith("lenet under DistributedDataParallel on 64 GPUs: 1 collective of")
    with rows.open() as file:
        reduced = [row for row in csv.DictReader(file) if row["collective"] == "all_reduce"]
    assert sum(int(row["size_bytes"]) for row in reduced) == 4 * 61_706
    assert json.loads(record.read_text())["archscope"] == "distribution"
    assert run(["distribute", str(record)]) == 0
    assert capsys.readouterr().out == printed.out


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
