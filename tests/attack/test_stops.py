"""Ctrl-C and kills at random moments: exit code 130, one line, no traceback, no child, no point
lost.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import pytest

import archscope
from tests.attack.figures import FACTOR, noted

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no process groups")

ARCHSCOPE = [sys.executable, "-m", "archscope"]
POINTS = range(1, 13)
BATCHES = ",".join(map(str, POINTS))
COMMANDS = {
    "sweep --jobs 2": (["sweep", "lenet", f"batch={BATCHES}", "--jobs", "2", "--journal", "j"], 4),
    "sweep --jobs 1": (["sweep", "lenet", f"batch={BATCHES}", "--jobs", "1", "--journal", "j"], 3),
    "summary": (["--no-cache", "summary", "lenet", "-o", "lenet.json"], 2),
    "profile": (["profile", "lenet", "--device", "cpu", "--eval", "--max-seconds", "0.5"], 5),
    "--help": (["--help"], 0.4),
}
"""Each with the seconds within which it is stopped, and after which it may have ended."""


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


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ARCHSCOPE, *command], cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def children(group: int) -> int:
    """How many processes of a group are left, once they had the time to end."""
    end = time.monotonic() + 20
    while processes(group) and time.monotonic() < end:
        time.sleep(0.02)
    return len(processes(group))


def stopped(command: list[str], moment: float, folder: Path) -> tuple[int, str, bool, int]:
    """Exit code after Ctrl-C, what was said, whether it came in time, and children left."""
    process = start(command, folder)
    time.sleep(moment)
    in_time = process.poll() is None
    if in_time:
        os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    left = children(process.pid)
    if in_time and is_python_s_own(process.returncode, told):
        return stopped(command, moment + 0.1, folder)
    return process.returncode, told, in_time, left


def is_python_s_own(code: int, told: str) -> bool:
    """Whether Ctrl-C came before Python ran the first line that archscope can answer it with."""
    early = re.search(r"archscope/(?!__init__\.py)", told) is None
    return early and "archscope: " not in told and (code == -signal.SIGINT or "Traceback" in told)


def points(folder: Path) -> list[int]:
    """The points that stand in the journal."""
    journal = folder / "j"
    lines = journal.read_bytes().split(b"\n")[1:-1] if journal.exists() else []
    return [int(json.loads(line)["point"]["batch"]) for line in lines]


def press_ctrl_c(name: str, folder: Path) -> None:
    """At a random moment of a command, which then resumes what the journal holds."""
    command, longest = COMMANDS[name]
    kept: set[int] = set()
    for _ in range(2 * FACTOR if command[0] == "sweep" else FACTOR):
        resume = ["--resume"] if kept else []
        moment = random.uniform(first(), longest)
        code, told, in_time, left = stopped([*command, *resume], moment, folder)
        lost = kept - set(points(folder))
        noted(
            "interrupts",
            int(in_time),
            points_lost=len(lost),
            tracebacks="Traceback" in told,
            children_left=left,
        )
        assert not left
        assert (code == 130) if in_time else (code == 0), (moment, code, told)
        assert "Traceback" not in told and told.count("archscope: interrupted") == int(in_time)
        assert not lost
        kept |= set(points(folder))
        if in_time and kept and not resume:
            assert f"{len(kept)} of {len(POINTS)} points are saved; --resume runs the" in told
        assert [file.name for file in folder.iterdir() if file.name.endswith(".part")] == []


def kill(folder: Path) -> None:
    """A sweep in two processes, which is then resumed to its end."""
    command, longest = COMMANDS["sweep --jobs 2"]
    kept: set[int] = set()
    for number in range(2 * FACTOR):
        resume = ["--resume"] if kept else []
        process = start([*command, *resume], folder)
        time.sleep(random.uniform(first(), longest))
        # This process alone: its workers must notice.
        process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
        _, told = process.communicate(timeout=120)
        left = children(process.pid)
        lost = kept - set(points(folder))
        told_trace = "Traceback" in told
        noted("kills", 1, points_lost=len(lost), tracebacks=told_trace, children_left=left)
        assert not left
        assert not lost and "Traceback" not in told
        kept |= set(points(folder))
    process = start([*command, *(["--resume"] if kept else [])], folder)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (0, "") and sorted(points(folder)) == list(POINTS)


def press_again_and_again(folder: Path) -> None:
    """Ctrl-C until the process ended."""
    for _ in range(FACTOR):
        process = start(COMMANDS["sweep --jobs 2"][0], folder)
        time.sleep(random.uniform(first(), 4))
        pressed = 0
        while process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            pressed += 1
            time.sleep(random.uniform(0, 0.02))
        _, told = process.communicate()
        left = children(process.pid)
        if is_python_s_own(process.returncode, told):
            continue
        noted("interrupts", pressed, tracebacks="Traceback" in told, children_left=left)
        assert not left
        assert process.returncode in (130, 0) and "Traceback" not in told


STOPS = {
    **{f"Ctrl-C in {name}": partial(press_ctrl_c, name) for name in COMMANDS},
    "Ctrl-C again": press_again_and_again,
    "kill": kill,
}


@pytest.fixture(scope="module")
def stops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """All of them, a few at a time, since most of theirs is waiting."""
    # As at a terminal: what a shell starts in the background would ignore the signal for ever.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    first()
    with ThreadPoolExecutor(3) as pool:
        yield {
            name: pool.submit(stop, tmp_path_factory.mktemp("stopped"))
            for name, stop in STOPS.items()
        }
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_is_clean(name: str, stops: dict[str, Future[None]]) -> None:
    stops[name].result()


def test_ctrl_c_does_not_wait_for_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a library or a user's file, within a count that holds signals back elsewhere."""
    monkeypatch.chdir(tmp_path)
    file = "import signal\nsignal.raise_signal(signal.SIGINT)\nopen('after', 'w').close()\n"
    Path("nets.py").write_text(file, encoding="utf-8")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            archscope.summary("nets.py:Net", input="2")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not Path("after").exists()
