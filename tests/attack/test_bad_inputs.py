"""Files of every kind, damaged at random: one line, a clean exit code, no half file."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope import archive
from archscope.cli import run
from archscope.records import BatchSweep, Environment, InputSpec, Measurement, Profile, TensorSpec
from tests.attack.figures import FACTOR, noted

SEED = random.randrange(2**32)
"""Another one in each run; a failure shows it."""

SHOWS = (
    ["summary"], ["explain"], ["compare", "lenet"], ["diff", "good.json"], ["memory"],
    ["signal"], ["formula"], ["receptive-field"], ["graph"], ["predict", "--on", "a100"],
    ["generate"], ["verify"], ["sweep-groups", "1,2", "--base"],
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**400, "", "os:system", "\x1b[2J", [], {},
    [[]], {"": 0}, "x" * 10_000, [0] * 1000, "1e999", "NaN",
)  # fmt: skip

TRACE = {
    "schemaVersion": 1,
    "traceEvents": [
        {"ph": "X", "cat": "cpu_op", "name": "aten::conv2d", "pid": 1, "tid": 1, "ts": 1, "dur": 9,
         "args": {"External id": 1, "Input Dims": [[1, 1, 8, 8]]}},
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "ts": 2,
         "dur": 1, "args": {"correlation": 7, "External id": 1}},
        {"ph": "X", "cat": "kernel", "name": "sgemm", "pid": 0, "tid": 7, "ts": 4, "dur": 5,
         "args": {"correlation": 7, "stream": 7, "device": 0, "External id": 1}},
    ],
}  # fmt: skip

BUDGET = """
[[budget]]
model = "lenet"
input = "1x28x28"
set = { num_classes = 10 }
max_macs = "1M"
[[budget.layers]]
match = "conv*"
max_params = "1k"
"""


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """A whole file of each kind."""
    count = archscope.summary("lenet", backward=True).analysis
    measured = Measurement((0.25,) * 8, 0.25, 0.25)
    spec = InputSpec((TensorSpec((4, 1, 28, 28)),))
    profile = Profile("lenet", spec, Environment("cpu"), {"forward": measured}, analysis=count)
    records = {
        "analysis.json": count,
        "profile.json": profile,
        "several.json": BatchSweep((profile, profile)),
        "memory.json": archscope.memory("lenet").record,
        "signal.json": archscope.signal("lenet", batch=2).record,
        "predicted.json": archscope.predict("lenet", device="a100").record,
    }
    files = {name: archive.dumps(record).encode() for name, record in records.items()}
    trace = json.dumps(TRACE).encode()
    return {
        **files,
        "budget.toml": BUDGET.encode(),
        "t.json": trace,
        "t.json.gz": gzip.compress(trace),
    }


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a parsed file with each of its keys."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    inner = [value[key] for key in keys if isinstance(value[key], (dict, list))]
    return [(value, key) for key in keys] + [place for one in inner for place in places(one)]


def with_another_value(content: bytes, dice: random.Random) -> bytes:
    data = json.loads(content)
    container, key = dice.choice(places(data))
    container[key] = dice.choice(VALUES)
    return json.dumps(data).encode()


def with_other_bytes(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def spliced(content: bytes, dice: random.Random) -> bytes:
    first, second = sorted(dice.randrange(len(content)) for _ in range(2))
    return content[:second] + content[first:]


def damage(name: str, content: bytes, dice: random.Random) -> bytes:
    ways: list[Callable[[bytes, random.Random], bytes]] = [with_other_bytes, cut, spliced]
    if name.endswith(".json"):
        ways += [with_another_value] * 3
    return dice.choice(ways)(content, dice)


def command_for(name: str, dice: random.Random) -> list[str]:
    if name.endswith(".toml"):
        return ["check", name]
    if name.startswith("t.json"):
        return ["trace", name, *dice.choice([[], ["--model", "lenet"]])]
    words = [*dice.choice(SHOWS), name]
    return (
        words if dice.random() < 0.5 else [*words, "-o", dice.choice(["o.md", "o.csv", "o.html"])]
    )


def test_a_damaged_file_ends_in_one_line(
    good: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    dice = random.Random(SEED)
    (tmp_path / "good.json").write_bytes(good["analysis.json"])
    for number in range(60 * FACTOR):
        name = dice.choice(list(good))
        file = tmp_path / name
        file.write_bytes(damage(name, good[name], dice))
        command = command_for(name, dice)
        before = set(tmp_path.iterdir())
        code = run(command)
        told = capsys.readouterr()
        case = (SEED, number, command, told.err)
        noted("bad inputs", 1, tracebacks="Traceback" in told.err)
        assert code in (0, 1, 2), case
        assert "Traceback" not in told.err and "archscope's fault" not in told.err, case
        written = set(tmp_path.iterdir()) - before
        if code == 2:
            assert told.err.count("\n") == 1 and len(told.err) < 10_000, case
            assert not written, case
        for path in written:
            path.unlink()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 10**6, b'{"traceEvents": ' + b"[" * 10**6, b'{"traceEvents": [' + b'{"a":' * 10**5,
        b"1" * 10**6, b'"' + b"a" * 3 * 10**6, b"\0" * 3 * 10**6, b"\x1f\x8b\x08" + b"\xff" * 99,
        gzip.compress(b"[" * 10**6), gzip.compress(json.dumps(TRACE).encode())[:-20] + b"x" * 20,
        b"a = " + b"9" * 5000,
        b"", b"\xef\xbb\xbf{}", b"[[[[[", b"null", b"{}", b"[1, 2]", b'{"traceEvents": {}}',
    ],
    ids=range(17),
)  # fmt: skip
@pytest.mark.parametrize("name", ["trace", "summary", "check", "compare"])
def test_no_file_is_archscope_s_fault(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "any.json"
    file.write_bytes(content)
    assert run([name, str(file), *(["lenet"] if name == "compare" else [])]) == 2
    told = capsys.readouterr().err
    noted("bad inputs", 1, tracebacks="Traceback" in told)
    assert told.startswith(f"archscope: {file}: ") and told.count("\n") == 1
    assert "fault" not in told and "cannot be shown" not in told and len(told) < 1000
