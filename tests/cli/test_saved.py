"""A saved record is shown again by the command that made it, as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        (["memory", "count.json"], "count.json: is no MemoryPrediction; name the network itself"),
        (["profile", "count.json"], "count.json: is no Profile; name the network itself"),
        (["memory", "memory.json", "--batch", "4"], "memory.json: is shown as it was saved"),
    ],
)
def test_another_record_or_another_question_is_refused(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["summary", "lenet", "-o", "count.json"]) == 0
    assert run(["memory", "lenet", "-o", "memory.json"]) == 0
    capsys.readouterr()
    assert run(arguments) == 2
    assert words in capsys.readouterr().err
