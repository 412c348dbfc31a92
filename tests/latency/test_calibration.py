"""Factors of a device from its own measurements: known factors are found again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated, Observation, calibrated, from_json
from archscope.latency.coefficients import ANY, Efficiency, fitted
from archscope.latency.devices import find_device
from archscope.latency.kernel import Kernel
from archscope.latency.model import kernel_seconds
from archscope.latency.rates import Rates
from archscope.latency.setting import Setting

SETTING = Setting(dtype="float16")
DEVICE = find_device("h200")

COMPUTING = Kernel("linear", "float16", times=1, rows=8192, columns=8192, depth=8192)
MOVING = Kernel("elementwise", "float16", read=1e9, written=1e9)


def known(factor: Efficiency) -> Calibrated:
    table = Rates(DEVICE, SETTING, fitted()).as_own()
    return Calibrated(DEVICE, {ANY: factor}, (table,), 0)


def measured(factor: Efficiency, *kernels: Kernel) -> list[Observation]:
    """What a device would take whose efficiencies are a factor of those fitted."""
    rates = Rates(DEVICE, SETTING, known(factor).within(fitted()))
    return [
        Observation((kernel,), kernel_seconds(kernel, rates).total, 1.0, SETTING)
        for kernel in kernels
    ]


def found(observations: list[Observation]) -> Calibrated:
    return calibrated(observations, DEVICE, fitted(), by_kind=False, source="a test")


def test_the_factors_of_a_device_are_found_again() -> None:
    """Ten observations of each make the prior's pull small: 10/0.1² against 1/0.4²."""
    truth = Efficiency(0.7, 1.2)
    factors = found(measured(truth, *[COMPUTING, MOVING] * 10)).factors[ANY]
    assert factors.compute == pytest.approx(truth.compute, rel=0.02)
    assert factors.memory == pytest.approx(truth.memory, rel=0.02)


def test_what_was_not_measured_keeps_its_factor() -> None:
    factors = found(measured(Efficiency(0.7, 1.0), COMPUTING)).factors[ANY]
    assert factors.compute < 0.75
    assert factors.memory == pytest.approx(1, rel=0.02)


def test_a_device_file_holds_all_of_it() -> None:
    before = found(measured(Efficiency(0.7, 1.2), COMPUTING, MOVING))
    after = from_json(json.loads(json.dumps(before.to_json())), "mygpu.json")
    assert after.device == before.device
    assert after.factors == before.factors
    rates = Rates(after.device, SETTING, after.within(fitted()))
    low, high = rates.interval
    assert high / low < fitted().unmeasured[1] / fitted().unmeasured[0]


def test_another_file_is_no_device_file() -> None:
    with pytest.raises(ArchscopeError, match=r"run.json: is not a device file"):
        from_json({"analysis": {}}, "run.json")


def test_a_device_that_borrowed_takes_as_long_when_it_owns_the_same() -> None:
    before = Rates(DEVICE, SETTING, fitted())
    after = Rates(DEVICE, SETTING, known(Efficiency()).within(fitted()))
    assert not before.measured and after.measured
    for kernel in (COMPUTING, MOVING):
        expected = pytest.approx(kernel_seconds(kernel, before).total)
        assert kernel_seconds(kernel, after).total == expected


def test_what_was_measured_in_inference_holds_in_training() -> None:
    given = found(measured(Efficiency(1.0, 0.5), *[MOVING] * 10)).within(fitted())
    training = replace(SETTING, mode="training")
    slow, usual = (kernel_seconds(MOVING, Rates(DEVICE, training, g)) for g in (given, fitted()))
    assert slow.memory == pytest.approx(2 * usual.memory, rel=0.05)
