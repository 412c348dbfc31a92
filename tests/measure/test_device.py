"""Naming the device, and its roofs: measured once, cached, or from the data sheet."""

import json
import time

import pytest
import torch

from archscope.measure import device as devices

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_cache_file", lambda: tmp_path / "cache" / "peaks.json")
    return tmp_path / "cache" / "peaks.json"


def test_roofs_are_measured_once_and_then_read(cache, monkeypatch):
    measured = []

    def measure(device):
        measured.append(device)
        return {"fp32": 1e12, "copy": 1e11}

    monkeypatch.setattr(devices, "measure_peaks", measure)
    first, second = devices.peaks(CPU), devices.peaks(CPU)
    assert measured == [CPU]
    assert first == second == devices.Peaks({"fp32": 1e12, "copy": 1e11}, "measured")
    (key,) = json.loads(cache.read_text())
    assert str(torch.__version__) in key and "threads" in key


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_cache_is_measured_again(cache, monkeypatch, content):
    cache.parent.mkdir()
    cache.write_text(content)
    monkeypatch.setattr(devices, "measure_peaks", lambda device: {"copy": 1.0})
    assert devices.peaks(CPU).rates == {"copy": 1.0}
    assert len(json.loads(cache.read_text())) == 1


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(devices, "_cache_file", lambda: tmp_path / "file" / "peaks.json")
    monkeypatch.setattr(devices, "measure_peaks", lambda device: {"copy": 1.0})
    assert devices.peaks(CPU).source == "measured"


def test_data_sheet_stands_in_and_says_so(cache, monkeypatch):
    def fails(device):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(devices, "measure_peaks", fails)
    monkeypatch.setattr(devices, "model_name", lambda device: "NVIDIA A100-SXM4-40GB")
    found = devices.peaks(CPU)
    assert found.source == "data sheet"
    # NVIDIA A100 40 GB data sheet: 19.5 TFLOP/s fp32, 312 TFLOP/s bf16, 1555 GB/s.
    assert found.rates["fp32"] == 19.5e12 and found.rates["bf16"] == 312e12
    assert found.rates["copy"] == 1.555e12
    assert not cache.exists()


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
