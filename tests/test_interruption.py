"""What waits for a few steps that belong together, and what is put back behind them."""

import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from archscope import files, interruption

STOPS = [signal.SIGINT, signal.SIGTERM]


class StopError(Exception):
    """What the handlers here raise."""


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that raise, whatever the shell of the tests ignores."""

    def stop(number, frame):
        raise StopError(number)

    before = {number: signal.signal(number, stop) for number in STOPS}
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPS)
def test_a_file_is_written_before_the_process_is_stopped(number, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_synchronise", lambda path: signal.raise_signal(number))
    with pytest.raises(StopError):
        files.replace_file(tmp_path / "run.json", b"all of it")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert Path(tmp_path / "run.json").read_bytes() == b"all of it"


def test_both_handlers_are_put_back(handlers):
    with pytest.raises(StopError, match="2"), interruption.held_back():
        for number in (*STOPS, *STOPS):
            signal.raise_signal(number)
    assert [signal.getsignal(number) for number in STOPS] == [handlers, handlers]


def test_sigterm_is_taken_inside_alone(handlers):
    with pytest.raises(interruption.Terminated), interruption.terminable() as take:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library may
        take()
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == handlers
    interruption._Process.terminated = False


def test_ctrl_c_is_not_lost_while_pytorch_loads(monkeypatch):
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr(interruption._Process, "times", 0)
    left = []
    interruption.watch(lambda: left.append("at once"))
    with interruption.raised():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not left
        monkeypatch.setattr(torch.__spec__, "_initializing", True, raising=False)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert left == ["at once"]


def test_what_ctrl_c_must_end_is_ended_behind_the_import_of_pytorch(monkeypatch):
    """Raised inside, it would be lost where PyTorch's import takes it for a missing NumPy."""
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr(interruption._Process, "times", 0)
    left = []
    interruption.watch(lambda: left.append("at once"))
    loaded = False
    with interruption.raised(), interruption.answered(), pytest.raises(KeyboardInterrupt):
        with monkeypatch.context() as loading:
            loading.setattr(torch.__spec__, "_initializing", True, raising=False)
            signal.raise_signal(signal.SIGINT)  # raises nothing yet
            loaded = True
        while True:
            time.sleep(0.01)
    assert (loaded, left, interruption._Process.times) == (True, [], 1)
