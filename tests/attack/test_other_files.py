"""Files besides records: devices, configurations and settings; each fault is one line."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope import archive, files
from archscope.cli import run
from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated
from archscope.latency.coefficients import Efficiency, fitted
from archscope.latency.devices import find_device
from archscope.resolve.stored import configuration
from tests.attack.figures import FACTOR, noted
from tests.attack.test_bad_inputs import SEED, TRACE, VALUES, places


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a command that runs, or is refused in one line."""
    code = run(command)
    told = capsys.readouterr().err
    noted("bad inputs", 1, tracebacks="Traceback" in told)
    assert code in (0, 2), (SEED, command, told)
    assert "cannot be shown" not in told and "archscope's fault" not in told, (SEED, told)
    assert code == 0 or (told.count("\n") == 1 and len(told) < 10_000), (SEED, told)
    return told


@pytest.fixture
def device_file() -> dict[str, Any]:
    """A device with a table and factors of its own."""
    sheet = find_device("rtx3090")
    table = next(row for row in fitted().measured if row.device == sheet.key)
    file = Calibrated(sheet, {"*": Efficiency(0.9, 1.1)}, (table,), 3).to_json()
    return json.loads(json.dumps(file))  # type: ignore[no-any-return]


def test_a_damaged_device_is_refused(
    device_file: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    good, dice = json.dumps(device_file), random.Random(SEED)
    Path("d.json").write_text(good, encoding="utf-8")
    assert refused(["predict", "lenet", "--on", "d.json"], capsys) == ""
    for _ in range(30 * FACTOR):
        device = json.loads(good)
        container, key = dice.choice(places(device))
        container[key] = dice.choice(VALUES)
        Path("d.json").write_text(json.dumps(device), encoding="utf-8")
        refused(["predict", "lenet", "--on", "d.json"], capsys)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("device bandwidth_bytes_per_second", 0),
        ("device peak_flops_per_second", {}),
        ("device compute_units", -1),
        ("device l2_bytes", 0),
        ("device name", ""),
        ("device architecture", "kepler"),
        ("factors *", [0, 1]),
        ("factors *", [1]),
        ("tables 0 low", 9),
        ("tables 0 software", "torch x.y"),
        ("tables 0 kinds", {"conv": [1, float("nan")]}),
        ("rows", "3"),
    ],
)
def test_a_device_that_cannot_be_is_refused(
    place: str, value: Any, device_file: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    *path, last = [int(word) if word.isdecimal() else word for word in place.split()]
    inner: Any = device_file
    for word in path:
        inner = inner[word]
    inner[last] = value
    Path("d.json").write_text(json.dumps(device_file), encoding="utf-8")
    told = refused(["predict", "lenet", "--on", "d.json"], capsys)
    assert told.startswith("archscope: d.json: is ")


def test_settings_that_no_layer_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    record = archive.dumps(archscope.summary("lenet").analysis)
    dice = random.Random(SEED)
    for _ in range(15 * FACTOR):
        changed = json.loads(record)
        setting = dice.choice([s for call in changed["calls"] for s in call.get("settings", ())])
        setting[1] = dice.choice([*VALUES, "None", [0, 0], [1] * 5, -7])
        Path("bad.json").write_text(json.dumps(changed), encoding="utf-8")
        for command in (["explain"], ["summary", "-o", "o.html"], ["graph"], ["compare", "lenet"]):
            refused([command[0], "bad.json", *command[1:]], capsys)
            Path("o.html").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "content",
    [
        b"[]", b"3", b"", b"\xff", b"[" * 10**6, b'{"attn_implementation": "owner/kernel"}',
        b'{"text_config": {"_attn_implementation": {"": "owner/kernel"}}}',
        b'{"parts": [{"experts_implementation": "owner/kernel"}]}',
    ],
    ids=range(8),
)  # fmt: skip
def test_a_configuration_is_data(content: bytes, here: Path) -> None:
    file = here / "config.json"
    file.write_bytes(content)
    noted("bad inputs", 1)
    with pytest.raises(ArchscopeError, match=r"config\.json: .*; "):
        configuration(file)


def test_a_configuration_brings_no_weights(here: Path) -> None:
    file = here / "config.json"
    file.write_text('{"a": {"use_pretrained_backbone": true}, "width": 3}')
    assert configuration(file) == {"a": {"use_pretrained_backbone": False}, "width": 3}


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own")
def test_a_configuration_without_end_is_refused(here: Path) -> None:
    (here / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ArchscopeError, match="is larger than"):
        configuration(here / "config.json")


def test_an_event_without_end_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from archscope.traces import members

    monkeypatch.setattr(members, "LONGEST_VALUE", 4096)
    (here / "t.json").write_text('{"traceEvents": [{"args": [' + "1," * 10_000)
    assert "a value is longer than" in refused(["trace", "t.json"], capsys)


def test_a_trace_without_time_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = json.loads(json.dumps(TRACE))
    operator, launch, _ = trace["traceEvents"]
    operator["cat"], launch["ph"] = "unknown", "unknown"
    (here / "t.json").write_text(json.dumps(trace), encoding="utf-8")
    told = refused(["trace", "t.json"], capsys)
    assert told == "archscope: t.json: holds no time of a step; record whole steps\n"


def test_a_damaged_shard_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for shard in ("1", "2"):
        command = ["sweep", "lenet", "batch=1,2,3,4", "--shard", f"{shard}/2", "--journal", shard]
        assert run(command) == 0
    capsys.readouterr()
    lines, dice = Path("1").read_text(encoding="utf-8").splitlines(), random.Random(SEED)
    for _ in range(20 * FACTOR):
        changed = [json.loads(line) for line in lines]
        container, key = dice.choice(places(changed))
        container[key] = dice.choice(VALUES)
        text = "".join(json.dumps(line) + "\n" for line in changed)
        Path("bad").write_text(text, encoding="utf-8")
        refused(["merge", "bad", "2"], capsys)


def test_a_sweep_that_no_machine_can_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    axes = [[f"axis{number}", list(range(1000))] for number in range(5)]
    header = {"archscope": "journal", "schema": 2, "grid": {"model": "lenet", "axes": axes}}
    Path("j").write_text(json.dumps(header) + "\n", encoding="utf-8")
    assert "is not the journal of a sweep" in refused(["merge", "j"], capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
@pytest.mark.parametrize(
    "command", [["summary"], ["trace"], ["merge"], ["check"], ["predict", "lenet", "--on"]]
)
def test_a_pipe_without_a_writer_is_not_waited_for(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "WRITER_SECONDS", 0.01)
    os.mkfifo("pipe.json")
    assert run([*command, "pipe.json"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "pipe that nobody writes into" in told
