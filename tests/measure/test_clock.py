"""The stream clock and the driver's facts, on a stand-in for CUDA that keeps a log."""

import contextlib
import subprocess
from types import SimpleNamespace

import pytest
import torch

from archscope.measure import device as devices
from archscope.measure.clock import StreamClock

CUDA = torch.device("cuda", 0)


class Stream:
    """A time line on which stages take milliseconds and events note the moment."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def stage(self, name, milliseconds):
        def run():
            self.now += milliseconds
            self.log.append(name)

        return run


@pytest.fixture
def stream(monkeypatch):
    found = Stream()

    class Event:
        def record(self):
            self.at = found.now

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: Event())
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: found.log.append("|"))
    return found


def test_stages_are_timed_between_events_with_one_synchronisation(stream):
    clock = StreamClock([stream.stage("forward", 2.0), stream.stage("backward", 5.0)], CUDA)
    assert clock.laps(3) == [pytest.approx((0.002, 0.005))] * 3
    assert stream.log == ["forward", "backward"] * 3 + ["|"]


def test_the_cold_cache_is_not_timed(stream):
    clock = StreamClock([stream.stage("step", 2.0)], CUDA, before=stream.stage("flush", 9.0))
    assert clock.laps(2) == [pytest.approx((0.002,))] * 2
    assert stream.log == ["flush", "step"] * 2 + ["|"]


@pytest.mark.parametrize(
    ("uuid", "identity"),
    [("1a2b-3c", "GPU-1a2b-3c"), ("GPU-1a2b", "GPU-1a2b"), ("MIG-1a2b", "MIG-1a2b")],
)
def test_clocks_and_temperature_are_read_from_the_driver(monkeypatch, uuid, identity):
    asked = []

    def answer(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "1980 MHz, 3201 MHz, 41, 120.50 W\n")

    properties = SimpleNamespace(uuid=uuid)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(devices.subprocess, "run", answer)
    assert devices.state(CUDA) == {
        "SM clock": "1980 MHz", "memory clock": "3201 MHz", "temperature": "41",
        "power": "120.50 W",
    }  # fmt: skip
    assert f"--id={identity}" in asked[0]


def test_a_driver_that_does_not_answer_is_no_fault(monkeypatch):
    def fails(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    properties = SimpleNamespace(uuid="1a2b")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(devices.subprocess, "run", fails)
    assert devices.state(CUDA) == {}
