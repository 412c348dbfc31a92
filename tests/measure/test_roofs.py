"""Roofs of the dtype at hand, where the device's own peaks lack it."""

import pytest
import torch

from archscope.measure import device as devices
from archscope.measure.roofs import raised, roofs

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def known_peaks(monkeypatch):
    peaks = devices.Peaks({"fp32": 4e9, "copy": 1e9}, "2026-11-22")
    monkeypatch.setattr(devices, "peaks", lambda device, store: peaks)
    monkeypatch.setattr(devices, "product_rate", lambda *asked: 2e9)


def test_a_double_network_gets_a_roof_of_its_own():
    assert roofs(CPU, torch.float64).rates == {"fp32": 4e9, "copy": 1e9, "fp64": 2e9}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, None])
def test_nothing_is_measured_for_a_known_dtype_or_one_without_a_roof(dtype):
    assert roofs(CPU, dtype).rates == {"fp32": 4e9, "copy": 1e9}


def test_a_device_without_the_dtype_has_no_such_roof(monkeypatch):
    def refuse(*asked):
        raise TypeError("MPS does not support float64")

    monkeypatch.setattr(devices, "product_rate", refuse)
    assert "fp64" not in roofs(CPU, torch.float64).rates


def test_a_roof_of_its_own_is_raised_too(monkeypatch):
    higher = devices.Peaks({"fp32": 5e9, "copy": 1e9}, "2026-11-22")
    monkeypatch.setattr(devices, "raised", lambda known, device, store: higher)
    known = {"fp32": 4e9, "copy": 1e9, "fp64": 1e9}
    assert raised(known, CPU, "fp64", None).rates == {"fp32": 5e9, "copy": 1e9, "fp64": 2e9}
    assert raised({**known, "fp64": 3e9}, CPU, "fp64", None).rates["fp64"] == 3e9
    assert raised(known, CPU, "fp32", None).rates["fp64"] == 1e9
