"""A saved record is shown again by the command that made it, as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import archscope
from archscope import archive, resolve
from archscope.cli import run
from archscope.records import Environment, InputSpec, Measurement, Profile, TensorSpec


def test_a_memory_prediction_prints_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = str(tmp_path / "memory.json")
    assert run(["memory", "lenet", "-o", saved]) == 0
    first = capsys.readouterr().out
    assert run(["memory", saved]) == 0
    assert capsys.readouterr().out == first


def test_a_profile_prints_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = InputSpec((TensorSpec((4, 1, 28, 28)),))
    samples = Measurement((0.25,) * 8, 0.25, 0.25)
    profile = Profile("lenet", spec, Environment("cpu"), {"forward": samples})
    saved = tmp_path / "profile.json"
    saved.write_text(archive.dumps(profile))
    assert run(["profile", str(saved)]) == 0
    assert "250 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["formula", "net.json"], "651,720·N"),
        (["receptive-field", "net.json"], "conv1"),
        (["memory", "net.json"], "lenet"),
        (["sweep", "net.json", "num_classes=2,10"], "652 k"),
        (["explain", "net.json", "conv1"], "352,800"),
        (["verify", "net.json"], "651,720"),
        (["signal", "net.json"], "lenet (input_channels=3) on 8×3×28×28"),
    ],
)
def test_a_saved_count_stands_for_its_network_and_keywords(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """LeNet on three channels: 3·25·6 + 6 parameters and 352,800 MACs in its first layer."""
    monkeypatch.chdir(tmp_path)
    assert run(["summary", "lenet", "--set", "input_channels=3", "-o", "net.json"]) == 0
    capsys.readouterr()
    assert run(arguments) == 0
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["summary", "a.json", "--train"], "a.json: a saved record cannot be counted again"),
        (["compare", "a.json", "a.json", "--time"], "--time: does not go with saved records"),
        (["compare", "a.json", "a.json", "--input", "1x28x28"], "--input: does not go with saved"),
        (["compare", "a.json", "a.json", "--batch", "2"], "--batch: does not go with saved"),
        (["compare", "a.json", "a.json", "--set", "k=1"], "--set: does not go with saved records"),
        (["diff", "a.json", "a.json", "--input", "1x28x28"], "a.json: a saved record cannot"),
        (["memory", "m.json", "--optimizer", "adam"], "--optimizer: does not go with m.json"),
        (["signal", "s.json", "--batch", "2"], "--batch: does not go with saved statistics"),
    ],
)
def test_an_option_that_decides_nothing_beside_a_record_is_refused(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["summary", "lenet", "--backward", "-o", "a.json"]) == 0
    assert run(["memory", "lenet", "-o", "m.json"]) == 0
    assert run(["signal", "lenet", "-o", "s.json"]) == 0
    capsys.readouterr()
    assert run(arguments) == 2
    assert problem in capsys.readouterr().err


def test_a_record_whose_values_contradict_each_other_is_no_fault_of_archscope_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "net.json"
    assert run(["summary", "lenet", "-o", str(saved)]) == 0
    whole = saved.read_text()
    saved.write_text(whole.replace('"stride"', '"strife"'))
    capsys.readouterr()
    assert run(["explain", str(saved)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "conv1: has settings that no Conv2d has" in line and "save the record again" in line


def test_a_record_of_a_network_without_a_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "net.json"
    archscope.summary(nn.Linear(4, 4), "4").save(str(saved))
    assert run(["formula", str(saved)]) == 2
    assert "names 'Linear' as its network" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "empty.json", "lenet"],
        ["diff", "lenet", "empty.json"],
        ["diff", "empty.json", "empty.json"],
        ["compare", "empty.json", "lenet"],
        ["compare", "empty.json", "lenet5", "--match", "params", "--by", "num_classes"],
        ["summary", "empty.json"],
    ],
)
def test_a_profile_without_a_count_is_told_by_its_file(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    profile = Profile("lenet", InputSpec((TensorSpec((1, 1, 28, 28)),)), Environment("cpu"))
    Path("empty.json").write_text(archive.dumps(profile))
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert told == "archscope: empty.json: this profile holds no count; profile it again\n"


BUDGET = """
[[budget]]
model = "lenet.json"
baseline = "lenet.json"
max_growth = "0%"
"""


@pytest.mark.parametrize(
    ("arguments", "reads", "builds"),
    [
        (["summary", "lenet.json", "--columns", "macs"], 1, 0),
        (["explain", "lenet.json", "conv1"], 1, 0),
        (["diff", "lenet.json", "lenet.json"], 2, 0),
        (["diff", "lenet.json", "lenet"], 1, 1),
        (["check", "budget.toml"], 2, 0),
        (["compare", "lenet.json", "lenet", "--match", "params", "--by", "num_classes"], 1, None),
        (["memory", "lenet.json"], 1, 1),
        (["signal", "lenet.json"], 1, 1),
        (["formula", "lenet.json"], 1, 1),
        (["receptive-field", "lenet.json"], 1, 1),
    ],
)
def test_a_record_is_read_once_and_its_network_built_no_oftener_than_needed(
    arguments: list[str], reads: int, builds: int | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    archscope.summary("lenet").save("lenet.json")
    Path("budget.toml").write_text(BUDGET)
    read, built = [], []
    load, build = archive.load, resolve.build
    monkeypatch.setattr(archive, "load", lambda path: read.append(path) or load(path))
    monkeypatch.setattr(resolve, "build", lambda make: built.append(make) or build(make))
    assert run(arguments) == 0
    assert len(read) == reads
    assert builds is None or len(built) == builds


@pytest.mark.parametrize("command", ["compare", "explain", "memory", "signal", "verify"])
def test_a_batch_that_must_be_a_number_is_refused_before_any_work(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "no-such-network", "--batch", "N"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("archscope: --batch N: is a symbol where a number is needed; ")


def test_a_comparison_in_symbols_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["compare", "no-such-network", "another", "--input", "3xHxW"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("archscope: H in 1×3×H×W: is a symbol where a number is needed; ")
