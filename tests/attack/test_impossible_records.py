"""Records that cannot be are refused by file and field, and never written on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope import archive
from archscope.cli import run
from archscope.records import Environment, InputSpec, LayerTime, Measurement, Profile, TensorSpec
from tests.attack.figures import noted


@cache
def saved(kind: str) -> str:
    if kind == "analysis":
        return archive.dumps(archscope.summary("lenet", backward=True).analysis)
    if kind == "memory":
        return archive.dumps(archscope.memory("lenet").record)
    spec = InputSpec((TensorSpec((4, 1, 28, 28)),))
    times = {"step": Measurement((0.5,) * 8, 0.5, 0.5)}
    rows = (LayerTime("conv1", "Conv2d", seconds={"forward": 0.5}, launches=1),)
    return archive.dumps(
        Profile("lenet", spec, Environment("cpu"), times, rows, peaks={"copy": 1.0})
    )


IMPOSSIBLE: tuple[tuple[str, str, Any], ...] = (
    ("analysis", "calls 1 params", -156),
    ("analysis", "calls 1 params", True),
    ("analysis", "calls 1 params", 156.0),
    ("analysis", "calls 1 params", float("nan")),
    ("analysis", "calls 1 params", 10**40),
    ("analysis", "calls 1 trainable_params", 157),
    ("analysis", "calls 1 call", -1),
    ("analysis", "calls 1 depth", 3),
    ("analysis", "calls 1 depth", 10**6),
    ("analysis", "calls 0 children", 1),
    ("analysis", "calls 1 activation_bytes", -4),
    ("analysis", "calls 1 output_shapes 0 1", -6),
    ("analysis", "calls 1 output_shapes 0", [1] * 65),
    ("analysis", "calls 1 forward operators", -1),
    ("analysis", "calls 1 forward operators", 20),
    ("analysis", "calls 1 forward elementwise", True),
    ("analysis", "calls 1 forward bytes_read", -1),
    ("analysis", "calls 1 forward cost products 0 factors 1 value", -6),
    ("analysis", "calls 1 forward cost products 0 factors 1 value", False),
    ("analysis", "calls 1 forward cost products 0 factors 1 value", 10**29),
    ("analysis", "calls 1 settings 0 1", 10**40),
    ("analysis", "calls 1 settings 2 1 0", -1),
    ("analysis", "calls 4 settings 3 1", -1),
    ("analysis", "input tensors 0 shape 0", -1),
    ("analysis", "input tensors 0 shape 0", True),
    ("analysis", "coverage counted", {}),
    ("analysis", "coverage unknown", {"lib::op": 1}),
    ("analysis", "coverage unknown_layers", ["conv1"]),
    ("analysis", "total", {"macs": 1}),
    ("profile", "phases step seconds 0", float("nan")),
    ("profile", "phases step seconds 0", float("inf")),
    ("profile", "phases step seconds 0", -0.5),
    ("profile", "phases step seconds 0", 0),
    ("profile", "phases step seconds 0", True),
    ("profile", "phases step seconds", []),
    ("profile", "phases step median_low", 0.6),
    ("profile", "phases step median_high", float("nan")),
    ("profile", "phases step median_high", 0.4),
    ("profile", "phases step warmup", -1),
    ("profile", "layers 0 seconds forward", -0.5),
    ("profile", "layers 0 seconds forward", float("nan")),
    ("profile", "layers 0 seconds forward", 5.0),
    ("profile", "layers 0 launches", -1),
    ("profile", "peaks copy", 0),
    ("profile", "peaks copy", float("inf")),
    ("profile", "attributed", {"forward": 1.5}),
    ("profile", "peak_bytes", {"parameters": -1}),
    ("memory", "timeline", []),
    ("memory", "timeline 0 parameters", -1),
    ("memory", "saved 0 saved_bytes", 10**12),
    ("memory", "mode", "sleeping"),
)


@pytest.mark.parametrize(("kind", "place", "value"), IMPOSSIBLE)
def test_an_impossible_record_is_refused_by_name(
    kind: str, place: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(saved(kind))
    *path, last = [int(word) if word.isdecimal() else word for word in place.split()]
    inner = record
    for word in path:
        inner = inner[word]
    inner[last] = value
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(record), encoding="utf-8")
    for command in ("summary", "memory", "profile", "explain", "formula"):
        assert run([command, str(file), "-o", str(tmp_path / "new.json")]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(f"archscope: {file}: is a damaged ")
        assert place.split()[0] in told.err or "coverage" in told.err
        assert told.err.count("\n") == 1
        assert len(told.err) < 500
        noted("bad inputs", 1)
    assert not (tmp_path / "new.json").exists()
