"""Shards of a sweep, and what joins them."""

import json
from pathlib import Path

import pytest

from archscope.cli import run
from archscope.engines.shard import Shard, parse_shard
from archscope.errors import ArchscopeError

SWEEP = ["sweep", "lenet", "num_classes=2,3,4", "batch=1,2"]

NETS = """
from torch import nn


class Net(nn.Linear):
    def __init__(self, width=4, fault="none"):
        if fault == "memory":
            raise MemoryError
        super().__init__(8, width)
"""


def test_shards_have_every_point_once():
    points = list(range(10))
    parts = [Shard(number, 4).of(points) for number in (1, 2, 3, 4)]
    assert parts == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "1/0", "a/b", "1/8/2", "-1/8", "1/8 "])
def test_an_unknown_shard_is_refused(text):
    with pytest.raises(ArchscopeError, match="unknown shard"):
        parse_shard(text)


@pytest.fixture
def parts(tmp_path, capsys):
    paths = [str(tmp_path / f"part-{number}.jsonl") for number in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        assert run([*SWEEP, "--shard", f"{number}/3", "--journal", path]) == 0
    assert "lenet over num_classes × batch, shard 3/3" in capsys.readouterr().out
    return paths


def test_merged_shards_are_what_one_run_writes(parts, tmp_path, capsys):
    assert run([*SWEEP, "-o", str(tmp_path / "one.csv"), "-o", str(tmp_path / "one.json")]) == 0
    one = capsys.readouterr().out
    outputs = ["-o", str(tmp_path / "all.csv"), "-o", str(tmp_path / "all.json")]
    assert run(["merge", parts[2], parts[0], parts[1], *outputs]) == 0
    assert capsys.readouterr().out == one
    for kind in ("csv", "json"):
        written = (tmp_path / f"all.{kind}").read_bytes()
        assert written == (tmp_path / f"one.{kind}").read_bytes()


def test_an_entry_says_what_it_is_of_and_what_decided_it(parts):
    entries = lines(parts[1])[1:]
    assert [entry["question"]["keywords"] for entry in entries] == [
        {"num_classes": "2", "batch": "2"},
        {"num_classes": "4", "batch": "1"},
    ]
    assert entries[0]["question"]["network"] == "lenet"
    assert {"torch", "archscope", "python"} <= entries[0]["versions"].keys()
    assert entries[0]["address"] != entries[1]["address"]
    assert len(entries[0]["address"]) == 64


def test_missing_points_are_named_by_their_shard(parts, capsys):
    assert run(["merge", parts[0], parts[2]]) == 2
    assert capsys.readouterr().err == (
        "archscope: merge: 2 of 6 points are missing; run --shard 2/3\n"
    )


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def changed(path, **fields):
    header, *entries = lines(path)
    for entry in entries:
        entry.update(fields)
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in (header, *entries)))


def test_shards_of_other_versions_sweeps_or_results_are_refused(parts, tmp_path, capsys):
    sweep, other = str(tmp_path / "sweep.jsonl"), str(tmp_path / "other.jsonl")
    assert run(["sweep", "lenet", "batch=1,2", "--journal", sweep]) == 0
    capsys.readouterr()
    assert run(["merge", *parts, sweep]) == 2
    assert "is of another sweep than" in capsys.readouterr().err
    assert run([*SWEEP, "--journal", other]) == 0
    capsys.readouterr()
    assert run(["merge", *parts, other]) == 0, "one that holds all agrees"
    changed(other, complete=False)
    capsys.readouterr()
    assert run(["merge", *parts, other]) == 2
    assert "differs from" in capsys.readouterr().err
    changed(other, versions={"torch": "2.11.0"})
    assert run(["merge", *parts, other]) == 2
    assert "was counted with " in capsys.readouterr().err


def test_what_is_no_journal_of_a_sweep_is_refused(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "b.jsonl").write_text('{"archscope": "journal", "schema": 2, "other": []}\n')
    for name, problem in {"a": "is not a journal", "b": "is not the journal of a run"}.items():
        assert run(["merge", str(tmp_path / f"{name}.jsonl")]) == 2
        assert problem in capsys.readouterr().err


def test_a_shard_without_a_file_is_refused(capsys):
    assert run([*SWEEP, "--shard", "1/3"]) == 2
    assert "add --journal part-1.jsonl" in capsys.readouterr().err


def test_a_point_without_memory_is_its_row_until_a_later_run_counts_it(tmp_path, capsys):
    nets, journal = tmp_path / "nets.py", str(tmp_path / "part.jsonl")
    nets.write_text(NETS)
    sweep = ["sweep", f"{nets}:Net", "fault=none,memory", "--input", "8", "--journal", journal]
    assert run(sweep) == 0
    capsys.readouterr()
    assert run(["merge", journal, "-o", str(tmp_path / "rows.csv")]) == 0
    assert "MemoryError" in (tmp_path / "rows.csv").read_text()
    before = len(lines(journal))
    assert run([*sweep, "--resume"]) == 0
    assert len(lines(journal)) == before + 1, "only that one is counted again"
