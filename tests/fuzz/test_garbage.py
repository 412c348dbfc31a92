"""Damaged files and senseless arguments: one line, a clean exit code, nothing half-written."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import archscope
from archscope import archive
from archscope.cli import run
from archscope.errors import ArchscopeError
from tests.fuzz.networks import many


@cache
def saved() -> str:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    x = torch.zeros(1, 2, 4, 4)
    return archive.dumps(archscope.summary(network, x, backward=True).analysis)


def refused_or_read(text: str) -> None:
    try:
        archive.loads(text)
    except ArchscopeError as error:
        assert len(str(error).splitlines()) == 1


@many
@given(st.text())
def test_random_text_is_no_record(text: str) -> None:
    refused_or_read(text)


@many
@given(st.binary(max_size=200))
def test_random_bytes_are_no_record(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(data)
    with pytest.raises(ArchscopeError) as caught:
        archive.load(file)
    assert len(str(caught.value).splitlines()) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a parsed file with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], (dict, list)):
            found += places(value[key])
    return found


@many
@given(st.data())
def test_a_record_with_one_value_changed_is_refused_or_read(data: st.DataObject) -> None:
    content = json.loads(saved())
    container, key = data.draw(st.sampled_from(places(content)))
    if isinstance(container, dict) and data.draw(st.booleans()):
        del container[key]
    else:
        container[key] = data.draw(VALUES)
    refused_or_read(json.dumps(content))


@many
@given(st.integers(0, 10**6))
def test_a_record_cut_short_is_refused(length: int) -> None:
    text = saved()
    cut = text.rstrip()[: length % (len(text.rstrip()) - 1)]
    with pytest.raises(ArchscopeError):
        archive.loads(cut)


WORDS = st.sampled_from(
    [
        "summary", "compare", "models", "memory", "formula", "explain", "diff", "check", "lenet",
        "resnet_block", "--input", "1x28x28", "0x0", "3xHxW", "--batch", "-1", "2", "--set", "k=v",
        "num_classes=2", "=", "-o", "out.md", "out.json", "nowhere/out.csv", "out.xyz", "--depth",
        "--sort", "macs", "--columns", "--backward", "--train-only", "*", "--strict", "--all",
        "--help", "--debugx", "-", "--", "nets.py:Net", "timm:", ":", "a.json", "", "\x00",
        "🙂", "\n",
    ]
)  # fmt: skip


@many
@given(st.lists(WORDS | st.text(max_size=6), max_size=6))
@example(["summary", "lenet", "--input", "1x28x28", "-o", "out.xyz"])
@example(["summary", "lenet", "-o", "nowhere/out.csv"])
def test_random_arguments_end_cleanly(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    code = run([word for word in arguments if word != "--debug"])
    complaint = capsys.readouterr().err
    assert code in (0, 1, 2)
    assert "Traceback" not in complaint
    assert "internal error" not in complaint, arguments
    if code == 2:
        assert len(complaint.strip().split("\n")) == 1
        assert not list(tmp_path.glob("*.xyz"))
    for file in tmp_path.glob("*.json"):
        archive.load(file)
        file.unlink()
