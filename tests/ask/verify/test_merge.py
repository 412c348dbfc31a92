"""Shards of `verify --all`, and what joins them."""

import re

import pytest

from archscope.ask.verify import verify
from archscope.cli import run
from archscope.engines.local import Local

NAMES = ["lenet", "alexnet", "squeezenet1_1", "no_such_network"]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(verify, "all_names", lambda: NAMES)
    monkeypatch.setattr(verify, "PEERS", verify.PEERS[:1])
    monkeypatch.setattr(verify.verify, "__kwdefaults__", {"peers": ()})


@pytest.fixture
def parts(few, tmp_path, capsys):
    paths = [str(tmp_path / f"part-{number}.jsonl") for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        assert run(["verify", "--all", "--shard", f"{number}/2", "--journal", path]) == 0
    assert "2/2 no_such_network: " in capsys.readouterr().err
    return paths


def test_merged_shards_are_what_one_run_writes(parts, tmp_path, capsys):
    assert run(["verify", "--all", "-o", str(tmp_path / "one.csv")]) == 0
    one = capsys.readouterr().out
    assert "3 networks counted, 1 not" in one
    assert run(["merge", *reversed(parts), "-o", str(tmp_path / "all.csv")]) == 0
    assert capsys.readouterr().out == one
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_missing_networks_are_named_by_their_shard(parts, capsys):
    assert run(["merge", parts[0]]) == 2
    assert "2 of 4 points are missing; run --shard 2/2" in capsys.readouterr().err


def test_a_shard_resumes_and_repeats_nothing(parts, monkeypatch, capsys):
    monkeypatch.setattr(verify, "verify", None)  # which a second run would call
    command = ["verify", "--all", "--shard", "1/2", "--journal", parts[0]]
    assert run([*command, "--resume"]) == 0
    assert "2/2 squeezenet1_1: explained" in capsys.readouterr().err


def test_a_shard_goes_with_all_and_a_journal(few, capsys):
    assert run(["verify", "lenet", "--shard", "1/2"]) == 2
    assert "--shard 1/2: goes with --all" in capsys.readouterr().err
    assert run(["verify", "--all", "--shard", "1/2"]) == 2
    assert "add --journal part-1.jsonl" in capsys.readouterr().err


def test_a_verification_and_a_sweep_do_not_merge(parts, tmp_path, capsys):
    sweep = str(tmp_path / "sweep.jsonl")
    assert run(["sweep", "lenet", "batch=1", "--journal", sweep]) == 0
    capsys.readouterr()
    assert run(["merge", parts[0], sweep]) == 2
    assert "is of another kind of run than" in capsys.readouterr().err


def test_a_cluster_s_nodes_and_the_time_left_are_told(few):
    class Cluster(Local):
        place = "3 nodes"

    told = []
    verify.verify_each(NAMES[:2], verify.verify_named, told.append, engine=Cluster())
    assert re.fullmatch(r"1/2 lenet: explained, 3 nodes, .* left", told[0])
    assert told[1] == "2/2 alexnet: explained"
