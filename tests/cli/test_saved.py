"""A saved record is shown again by the command that made it, as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import archscope
from archscope import archive
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
        (["formula", "net.json"], "651720·N"),
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
    assert f"{saved}: cannot be shown" in line and "save it again" in line


def test_a_record_of_a_network_without_a_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "net.json"
    archscope.summary(nn.Linear(4, 4), "4").save(str(saved))
    assert run(["formula", str(saved)]) == 2
    assert "is of Linear, which cannot be built from its name" in capsys.readouterr().err
