"""A sweep over group counts in a journal: resumed, in shards, and merged."""

import json
from pathlib import Path

import pytest

from archscope.ask.groups import times
from archscope.ask.groups.members import Members
from archscope.cli import run
from archscope.records import Environment, Measurement, Profile

NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width=8):
        super().__init__(nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3), nn.Flatten())
"""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "plain.py").write_text(NET)
    base = ["--base", f"{tmp_path / 'plain.py'}:Net", "--input", "3x8x8"]
    return ["sweep-groups", "1,2,3,4", *base]  # 3 groups cannot be had at equal width


@pytest.fixture
def parts(sweep, tmp_path, capsys):
    paths = [str(tmp_path / f"part-{number}.jsonl") for number in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        assert run([*sweep, "--shard", f"{number}/3", "--journal", path]) == 0
    capsys.readouterr()
    return paths


def test_merged_shards_are_what_one_run_writes(sweep, parts, tmp_path, capsys):
    assert run([*sweep, "-o", str(tmp_path / "one.csv"), "-o", str(tmp_path / "one.json")]) == 0
    one = capsys.readouterr().out
    assert "3 groups do not" in one
    outputs = ["-o", str(tmp_path / "all.csv"), "-o", str(tmp_path / "all.json")]
    assert run(["merge", *reversed(parts), *outputs]) == 0
    assert capsys.readouterr().out == one
    for kind in ("csv", "json"):
        written = (tmp_path / f"all.{kind}").read_bytes()
        assert written == (tmp_path / f"one.{kind}").read_bytes()


def test_shards_of_a_file_in_different_folders_merge(sweep, parts, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "plain.py").rename(elsewhere / "plain.py")
    there = [word.replace(str(tmp_path), str(elsewhere)) for word in sweep]
    moved = str(tmp_path / "moved.jsonl")
    assert run([*there, "--shard", "2/3", "--journal", moved]) == 0
    assert run(["merge", parts[0], moved, parts[2]]) == 0
    assert f"{tmp_path / 'plain.py'}:Net at equal width" in capsys.readouterr().out


def test_missing_networks_are_named_by_their_shard(parts, capsys):
    assert run(["merge", parts[0], parts[2]]) == 2
    # 3 views of 4 group counts, and the two networks that ratios compare with
    assert "4 of 14 points are missing; run --shard 2/3" in capsys.readouterr().err


def test_an_interrupted_sweep_goes_on_and_repeats_nothing(sweep, tmp_path, monkeypatch, capsys):
    journal = tmp_path / "j.jsonl"
    command = [*sweep, "--journal", str(journal)]
    assert run(command) == 0
    told = capsys.readouterr().out
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + 14
    assert {len(json.loads(line)["address"]) for line in lines[1:]} == {64}
    journal.write_text("".join(lines[:6]))
    counted, count = [], Members._analysis

    def watched(self, groups, width, backward):
        counted.append((groups, width))
        return count(self, groups, width, backward)

    monkeypatch.setattr(Members, "_analysis", watched)
    assert run([*command, "--resume"]) == 0
    assert capsys.readouterr().out == told and len(counted) > 0
    counted.clear()
    assert run([*command, "--resume"]) == 0
    assert capsys.readouterr().out == told and counted == []


def test_what_was_measured_is_not_measured_again(sweep, tmp_path, monkeypatch, capsys):
    measured = []

    def profile(target, plan, *, progress):
        measured.append(target)
        if len(measured) == 3:
            raise KeyboardInterrupt
        facts = Environment("cuda", (("device name", "Some GPU"),))
        return Profile("a module", target.input, facts, {"forward": Measurement((1.0,), 1.0, 1.0)})

    monkeypatch.setattr(times, "profile", profile)
    journal = tmp_path / "j.jsonl"
    command = [*sweep, "--equal", "none", "--time", "--device", "cpu", "--journal", str(journal)]
    assert run(command) == 130
    assert run([*command, "--resume"]) == 0
    assert len(measured) == 2 + 1 + 1  # 1, 2 and 4 groups, one of them begun twice
    entries = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    points = [entry for entry in entries if "measured" in entry]
    assert [p["measured"]["keywords"]["groups"] for p in points] == ["1", "2", "4"]
    assert {p["versions"]["device"] for p in points} == {"Some GPU"}
    shown = capsys.readouterr().out
    assert run(["merge", str(journal)]) == 0
    assert "1.00 s" in shown and capsys.readouterr().out == shown


def test_a_damaged_line_is_counted_again(sweep, tmp_path, capsys):
    journal = tmp_path / "j.jsonl"
    command = [*sweep, "--equal", "none", "--journal", str(journal)]
    assert run(command) == 0
    told = capsys.readouterr().out
    lines = Path(journal).read_text().splitlines()
    entry = json.loads(lines[3])
    entry["analysis"] = {"model": 3}
    lines[3] = json.dumps(entry)
    journal.write_text("\n".join(lines) + "\n")
    assert run([*command, "--resume"]) == 0
    printed = capsys.readouterr()
    assert printed.out == told and "1 of the journal's lines are damaged" in printed.err
