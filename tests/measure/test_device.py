"""Naming the device, and its roofs: measured once, cached, or from the data sheet."""

import time

import pytest
import torch

from archscope.measure import device as devices
from archscope.saved.cache import Store

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "roofs")


def measuring(monkeypatch, *answers):
    """Devices that measure these rates, one after the other."""
    left = list(answers)
    monkeypatch.setattr(devices, "measure_peaks", lambda device: left.pop(0))
    return left


def test_roofs_are_measured_once_and_then_read_with_their_day(store, monkeypatch):
    measuring(monkeypatch, {"fp32": 1e12, "copy": 1e11})
    monkeypatch.setattr(time, "strftime", lambda form: "2026-11-22")
    first, second = devices.peaks(CPU, store), devices.peaks(CPU, store)
    assert first == second == devices.Peaks({"fp32": 1e12, "copy": 1e11}, "2026-11-22")
    assert str(second) == "measured 2026-11-22"


def test_without_a_store_roofs_are_measured_anew(store, monkeypatch):
    left = measuring(monkeypatch, {"copy": 1.0}, {"copy": 2.0}, {"copy": 3.0})
    assert devices.peaks(CPU, store).rates == {"copy": 1.0}
    assert devices.peaks(CPU, None).rates == {"copy": 2.0}
    assert devices.peaks(CPU, store).rates == {"copy": 1.0}
    assert len(left) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(torch, "get_num_threads", lambda: 77),
        lambda patch: patch.setattr(torch, "__version__", "9.9"),
        lambda patch: patch.setattr(devices, "usable_cores", lambda: 77),
        lambda patch: patch.setattr(devices, "model_name", lambda device: "another"),
        lambda patch: patch.setattr(devices.Path, "read_bytes", lambda path: b"other code"),
    ],
    ids=["threads", "torch", "cores", "device", "way of measuring"],
)
def test_other_circumstances_have_roofs_of_their_own(store, monkeypatch, change):
    measuring(monkeypatch, {"copy": 1.0}, {"copy": 2.0})
    keys = [devices._key(CPU)]
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        keys.append(devices._key(CPU))
    assert keys[0] != keys[1]


def test_measuring_once_more_keeps_the_larger(store, monkeypatch):
    measuring(monkeypatch, {"fp32": 1.0, "copy": 8.0}, {"fp32": 4.0, "copy": 2.0})
    first = devices.peaks(CPU, store)
    assert devices.raised(first.rates, CPU, store).rates == {"fp32": 4.0, "copy": 8.0}
    assert devices.peaks(CPU, store).rates == {"fp32": 4.0, "copy": 8.0}


def test_data_sheet_stands_in_and_says_so(store, monkeypatch):
    def fails(device):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(devices, "measure_peaks", fails)
    monkeypatch.setattr(devices, "model_name", lambda device: "NVIDIA A100-SXM4-40GB")
    found = devices.peaks(CPU, store)
    assert str(found) == devices.FALLBACK == "data sheet"
    # NVIDIA A100 40 GB data sheet: 19.5 TFLOP/s fp32, 312 TFLOP/s bf16, 1555 GB/s.
    assert found.rates["fp32"] == 19.5e12 and found.rates["bf16"] == 312e12
    assert found.rates["copy"] == 1.555e12
    assert store.contents().entries == 0


def test_fastest_repetition_counts(monkeypatch):
    # The first repetition warms up; of the others the second is the fastest.
    lengths = iter([9.0, 5.0, 1.0, 3.0, 2.0, 4.0])
    moments = []

    def clock():
        last = moments[-1] if moments else 0.0
        moments.append(last + (next(lengths) if len(moments) % 2 else 10.0))
        return moments[-1]

    monkeypatch.setattr(time, "perf_counter", clock)
    assert devices.fastest(lambda: None, CPU) == 1.0


def test_environment_tells_what_decides_a_cpu_time():
    environment = devices.environment(CPU)
    assert environment.device == "cpu"
    for key in ("device name", "torch", "threads", "affinity", "load", "date"):
        assert environment.fact(key)
    assert environment.fact("driver") is None
    assert devices.state(CPU) == {}
