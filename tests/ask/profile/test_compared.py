"""Measured points: kept in a journal, divided into shards, and joined, whatever measured them."""

import json
import re

import pytest
import torch

import archscope
from archscope.ask.count import analyse
from archscope.ask.profile import measured
from archscope.ask.profile.points import question
from archscope.ask.profile.there import ANY
from archscope.ask.target import Target
from archscope.cli import run
from archscope.measure import device as devices
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan
from archscope.measure.step import Settings
from archscope.records import Environment, Measurement, Profile

SECONDS = {"lenet": 0.1, "alexnet": 0.2, "squeezenet1_1": 0.4}


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that measures at once; what it measured, and the name by which it is known."""

    class Stand:
        name = "Tesla T4"
        fails = ""
        broken = ""
        device = "cuda"

    def profile(target, plan, *, progress=None):
        if target.name == Stand.fails:
            raise KeyboardInterrupt
        if target.name == Stand.broken:
            raise archscope.ArchscopeError(target.name, "is out of memory", "try a smaller batch")
        Stand.seen.append(target.name)
        times = Measurement((SECONDS[target.name],) * 6, SECONDS[target.name], SECONDS[target.name])
        facts = (("device name", Stand.name), ("network dtype", "float32"))
        analysis = analyse(target)
        phases = dict.fromkeys(("forward", "inference"), times)
        return Profile(
            target.name, analysis.input, Environment(Stand.device, facts), phases, analysis=analysis
        )

    Stand.seen = []
    monkeypatch.setattr(measured, "profile", profile)
    monkeypatch.setattr(devices, "best", lambda: "cuda")
    monkeypatch.setattr(devices, "find", torch.device)
    monkeypatch.setattr("archscope.saved.answers.roofs", lambda: None)
    return Stand


def test_compared_networks_are_not_measured_again(gpu, tmp_path, capsys):
    journal = tmp_path / "j.jsonl"
    command = ["compare", "lenet", "alexnet", "--time", "--journal", str(journal)]
    gpu.fails = "alexnet"
    assert run(command) == 130
    assert "1 of 2 networks are saved; --resume runs the others" in capsys.readouterr().err
    gpu.fails = ""
    assert run([*command, "--resume"]) == 0
    assert gpu.seen == ["lenet", "alexnet"]
    told = capsys.readouterr().out
    assert run([*command, "--resume"]) == 0
    assert gpu.seen == ["lenet", "alexnet"] and capsys.readouterr().out == told
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert [line["measured"]["network"] for line in lines] == ["lenet", "alexnet"]
    assert {line["versions"]["device"] for line in lines} == {"Tesla T4"}
    assert len({line["address"] for line in lines}) == 2
    # Another question takes none of them.
    assert run([*command, "--batch", "2", "--resume"]) == 2
    assert "was written for another run" in capsys.readouterr().err


def test_a_question_is_the_same_under_another_engine_unless_a_device_is_chosen():
    here = Plan(Settings(device="cuda"), chosen=False)
    there = Plan(Settings(device=ANY), chosen=False)
    lenet = Target("lenet")
    assert question(lenet, here) == question(lenet, there)
    assert question(lenet, here, "A100") == question(lenet, there, "a100")
    assert question(lenet, Plan(Settings(device="cuda"))) != question(lenet, there)
    longer = Plan(Settings(device="cuda"), StoppingRule(max_seconds=1.0), chosen=False)
    assert question(lenet, longer) != question(lenet, here)


def shards(command, tmp_path, count):
    paths = [str(tmp_path / f"part-{number}.jsonl") for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        assert run([*command, "--shard", f"{number}/{count}", "--journal", path]) == 0
    return paths


def test_merged_shards_compare_as_one_run_does(gpu, tmp_path, capsys):
    command = ["compare", "lenet", "alexnet", "--time"]
    paths = shards(command, tmp_path, 2)
    capsys.readouterr()
    assert run([*command, "--journal", str(tmp_path / "one.jsonl")]) == 0
    one = capsys.readouterr().out
    assert run(["merge", *reversed(paths)]) == 0
    assert capsys.readouterr().out == one
    assert run(["merge", paths[0]]) == 2
    assert "1 of 2 points are missing; run --shard 2/2" in capsys.readouterr().err


def test_networks_of_equal_cost_are_solved_for_in_every_shard(gpu, tmp_path, capsys, monkeypatch):
    command = ["compare", "lenet", "densenet_d2l", "--match", "params", "--by", "growth_rate"]
    monkeypatch.setitem(SECONDS, "densenet_d2l", 0.1)
    paths = shards([*command, "--time"], tmp_path, 2)
    capsys.readouterr()
    assert run([*command, "--time", "--journal", str(tmp_path / "one.jsonl")]) == 0
    one = capsys.readouterr().out
    assert "Solved for the parameters of lenet" in one
    assert run(["merge", *paths]) == 0
    assert capsys.readouterr().out == one
    assert f"{archscope.merge(*paths)}\n" == one


def test_times_of_two_models_of_gpu_are_compared_with_a_word(gpu, tmp_path, capsys):
    command = ["compare", "lenet", "alexnet", "--time"]
    first, second = str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl")
    assert run([*command, "--shard", "1/2", "--journal", first]) == 0
    gpu.name = "NVIDIA A100"
    assert run([*command, "--shard", "2/2", "--journal", second]) == 0
    capsys.readouterr()
    assert run(["merge", first, second]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    gpu.name = "Tesla T4"
    assert "Tesla T4" in shown and "A100" in shown
    assert re.search(r"not on the same device|different", shown), shown


def test_a_device_is_fitted_to_networks_that_are_measured_for_it(gpu, tmp_path, capsys):
    command = ["predict", "lenet", "alexnet", "squeezenet1_1", "--fit", "--dtype", "float32"]
    one, all_ = str(tmp_path / "one.json"), str(tmp_path / "all.json")
    assert run([*command, "--on", "local", "-o", one]) == 0
    assert "one.json: NVIDIA T4 reaches" in capsys.readouterr().out
    paths = shards([*command, "-o", str(tmp_path / "none.json")], tmp_path, 2)
    assert not (tmp_path / "none.json").exists()
    assert run(["merge", *paths, "-o", all_]) == 0
    assert (tmp_path / "all.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    gpu.seen.clear()
    again = [*command, "-o", one, "--shard", "1/2", "--journal", paths[0], "--resume"]
    assert run(again) == 0 and gpu.seen == []
    capsys.readouterr()
    assert run(["predict", "lenet", "--on", one, "--dtype", "float32"]) == 0


def test_a_node_without_a_gpu_fits_nothing(gpu, tmp_path, capsys):
    gpu.device = "cpu"
    assert run(["predict", "lenet", "--fit", "-o", str(tmp_path / "d.json")]) == 2
    assert "--on local: PyTorch saw no GPU where lenet was" in capsys.readouterr().err


def test_a_network_that_cannot_be_measured_is_left_out_of_a_fit(gpu, tmp_path, capsys):
    command = ["predict", "lenet", "alexnet", "squeezenet1_1", "--fit", "--dtype", "float32"]
    one, all_ = tmp_path / "one.json", tmp_path / "all.json"
    gpu.broken = "alexnet"
    assert run([*command, "--journal", str(tmp_path / "j.jsonl"), "-o", str(one)]) == 0
    assert "left out: alexnet: is out of memory; try a smaller" in capsys.readouterr().err
    paths = [str(tmp_path / f"{number}.jsonl") for number in (1, 2, 3)]
    ended = [
        run([*command, "--shard", f"{number}/3", "--journal", path, "-o", str(tmp_path / "n.json")])
        for number, path in enumerate(paths, 1)
    ]
    assert ended == [0, 2, 0], "a shard without a measurement fails"
    assert run(["merge", *paths[::2], "-o", str(all_)]) == 2
    assert "1 of 3 points are missing; run --shard 2/3" in capsys.readouterr().err
    assert run(["merge", *paths, "-o", str(all_)]) == 0
    assert "left out: alexnet: is out of memory" in capsys.readouterr().err
    assert all_.read_bytes() == one.read_bytes()
    with pytest.warns(UserWarning, match="left out: alexnet: is out of memory"):
        assert archscope.merge(*paths).record.text() == one.read_text()
    gpu.broken = ""
    gpu.seen.clear()
    again = [*command, "--journal", str(tmp_path / "j.jsonl"), "--resume", "-o", str(one)]
    assert run(again) == 0 and gpu.seen == ["alexnet"]


def test_what_a_node_without_a_gpu_measured_is_not_taken_again(gpu, tmp_path, capsys):
    command = ["predict", "lenet", "--fit", "--dtype", "float32", "-o", str(tmp_path / "d.json")]
    command += ["--journal", str(tmp_path / "j.jsonl")]
    gpu.device = "cpu"
    assert run(command) == 2
    gpu.device = "cuda"
    assert run([*command, "--resume"]) == 0 and gpu.seen == ["lenet", "lenet"]


def test_models_of_gpu_are_never_averaged(gpu, tmp_path, capsys):
    command = ["predict", "lenet", "alexnet", "--fit", "-o", str(tmp_path / "d.json")]
    first, second = str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl")
    assert run([*command, "--shard", "1/2", "--journal", first]) == 0
    gpu.name = "NVIDIA A100"
    assert run([*command, "--shard", "2/2", "--journal", second]) == 0
    gpu.name = "Tesla T4"
    assert run(["merge", first, second, "-o", str(tmp_path / "d.json")]) == 2
    assert "was measured on NVIDIA A100, and lenet on Tesla T4" in capsys.readouterr().err
    assert not (tmp_path / "d.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "lenet", "--shard", "1/2", "--journal", "p"], "--journal: goes with --time"),
        (["compare", "lenet", "--resume"], "--resume: goes with --time"),
        (["compare", "lenet", "--time", "--shard", "1/2"], "add --journal part-1.jsonl"),
        (["predict", "lenet", "--on", "t4", "--resume"], "--resume: goes with --fit"),
        (["predict", "lenet", "--fit", "-o", "d.json"], "this machine has no GPU to measure on"),
        (["predict", "lenet", "--fit", "--gpu", "T4", "-o", "d.json"], "goes with --on ray"),
    ],
)
def test_what_decides_nothing_is_refused(arguments, message, capsys):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_python_measures_as_the_command_does(gpu, tmp_path, capsys):
    journal = tmp_path / "j.jsonl"
    assert run(["compare", "lenet", "alexnet", "--time", "--journal", str(journal)]) == 0
    printed = capsys.readouterr().out
    asked = {"time": True, "journal": journal, "resume": True}
    found = archscope.compare("lenet", "alexnet", **asked)
    assert gpu.seen == ["lenet", "alexnet"], "the journal of the command holds both"
    assert f"{found}\n" == printed
    with pytest.raises(archscope.ArchscopeError, match="threads=1: goes with time=True"):
        archscope.compare("lenet", "alexnet", threads=1)
    with pytest.raises(archscope.ArchscopeError, match="resume: goes with time=True"):
        archscope.compare("lenet", "alexnet", resume=True)
    with pytest.raises(archscope.ArchscopeError, match=r"add journal='part-1\.jsonl'"):
        archscope.compare("lenet", "alexnet", time=True, shard="1/2")


def test_shards_of_python_are_merged(gpu, tmp_path):
    paths = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        part = archscope.compare("lenet", "alexnet", time=True, shard=f"{number}/2", journal=path)
        assert "1 network measured" in str(part)
    found = archscope.merge(*paths).record
    assert [one.label for one in found] == ["lenet", "alexnet"]


def test_python_fits_a_device_to_networks_and_predicts_with_it(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["predict", "lenet", "alexnet", "--fit", "--dtype", "float32", "-o", "one.json"]
    assert run(command) == 0
    capsys.readouterr()
    fitted = archscope.predict(["lenet", "alexnet"], fit=True, dtype="float32")
    assert str(fitted).startswith("NVIDIA T4 reaches")
    fitted.save("two.json")
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    first = archscope.predict("lenet", device="two.json", dtype="float32")
    assert first.seconds > archscope.predict("lenet", device="t4", dtype="float32").seconds
    with pytest.raises(archscope.ArchscopeError, match="peak: does not go with fit=True"):
        archscope.predict("lenet", fit=True, peak=1e12)
    with pytest.raises(archscope.ArchscopeError, match="journal='j': goes with fit=True"):
        archscope.predict("lenet", device="t4", journal="j")
    part = {"fit": True, "dtype": "float32", "journal": "1.jsonl", "shard": "1/2"}
    archscope.predict(["lenet", "alexnet"], **part)
    archscope.predict(["lenet", "alexnet"], **part | {"journal": "2.jsonl", "shard": "2/2"})
    assert archscope.merge("1.jsonl", "2.jsonl").record == fitted.record
