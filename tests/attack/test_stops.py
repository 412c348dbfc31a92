"""Ctrl-C at random moments: exit code 130, one line, no traceback, no child, no point lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tests.attack.figures import FACTOR, noted

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no process groups")

ARCHSCOPE = [sys.executable, "-m", "archscope"]
BATCHES = ",".join(map(str, range(1, 25)))
COMMANDS = {
    "sweep --jobs 2": (
        ["sweep", "lenet", f"batch={BATCHES}", "--jobs", "2", "--journal", "j"],
        6.0,
    ),
    "sweep --jobs 1": (
        ["sweep", "lenet", f"batch={BATCHES}", "--jobs", "1", "--journal", "j"],
        4.0,
    ),
    "summary": (["--no-cache", "summary", "lenet", "-o", "lenet.json"], 3.0),
    "profile": (["profile", "lenet", "--device", "cpu", "--eval", "--max-seconds", "0.5"], 5.0),
    "--help": (["--help"], 0.4),
}


@cache
def first() -> float:
    """Seconds in which Python starts, before any line of archscope runs."""
    begun = time.monotonic()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", "import runpy"], check=True)
    return (time.monotonic() - begun) / 2


def processes(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def stopped(command: list[str], moment: float, folder: Path, stop: int) -> tuple[int, str, bool]:
    """Exit code, what it said on stderr, and whether the signal came in time."""
    process = subprocess.Popen(
        [*ARCHSCOPE, *command], cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(moment)
    in_time = process.poll() is None
    if in_time:
        os.killpg(process.pid, stop)
    _, told = process.communicate(timeout=120)
    end = time.monotonic() + 10
    while processes(process.pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes(process.pid) == [], "a child is left"
    return process.returncode, told, in_time


def points(folder: Path) -> list[int]:
    """The points that stand in the journal."""
    journal = folder / "j"
    lines = journal.read_bytes().split(b"\n")[1:-1] if journal.exists() else []
    return [int(json.loads(line)["point"]["batch"]) for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_a_command_cleanly(name: str, tmp_path: Path) -> None:
    command, longest = COMMANDS[name]
    kept: set[int] = set()
    for _ in range(2 * FACTOR):
        resume = ["--resume"] if kept else []
        moment = random.uniform(first(), longest)
        code, told, in_time = stopped([*command, *resume], moment, tmp_path, signal.SIGINT)
        lost = kept - set(points(tmp_path))
        noted("interrupts", int(in_time), points_lost=len(lost), tracebacks="Traceback" in told)
        assert (code == 130) if in_time else (code == 0), (moment, code, told)
        assert "Traceback" not in told and told.count("archscope: interrupted") == int(in_time)
        assert not lost
        kept |= set(points(tmp_path))
        if in_time and kept and not resume:
            assert f"{len(kept)} of 24 points are kept; --resume runs the others" in told
        assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".part")] == []


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_kill_leaves_no_child_and_loses_no_point(stop: int, tmp_path: Path) -> None:
    command, longest = COMMANDS["sweep --jobs 2"]
    kept: set[int] = set()
    for _ in range(FACTOR):
        resume = ["--resume"] if kept else []
        moment = random.uniform(first(), longest)
        process = subprocess.Popen(
            [*ARCHSCOPE, *command, *resume], cwd=tmp_path, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(moment)
        process.send_signal(stop)  # this process alone: its workers must notice
        _, told = process.communicate(timeout=120)
        end = time.monotonic() + 20
        while processes(process.pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert processes(process.pid) == []
        lost = kept - set(points(tmp_path))
        noted("kills", 1, points_lost=len(lost), tracebacks="Traceback" in told)
        assert not lost and "Traceback" not in told
        kept |= set(points(tmp_path))
    whole = subprocess.run(
        [*ARCHSCOPE, *command, *(["--resume"] if kept else [])], cwd=tmp_path, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert whole.stderr == "" and sorted(points(tmp_path)) == list(range(1, 25))


def test_a_second_ctrl_c_is_no_traceback_either(tmp_path: Path) -> None:
    for _ in range(FACTOR):
        process = subprocess.Popen(
            [*ARCHSCOPE, *COMMANDS["sweep --jobs 2"][0]], cwd=tmp_path, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(random.uniform(first(), 5))
        while process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(random.uniform(0, 0.02))
        _, told = process.communicate()
        noted("interrupts", 2, tracebacks="Traceback" in told)
        assert process.returncode in (130, 0) and "Traceback" not in told
        end = time.monotonic() + 10
        while processes(process.pid) and time.monotonic() < end:
            time.sleep(0.02)
        assert processes(process.pid) == []
