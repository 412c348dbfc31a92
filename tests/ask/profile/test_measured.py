"""What is measured at which input, before anything is."""

import pytest
import torch
from torch import nn

from archscope.ask.profile import measured
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan
from archscope.records import InputSpec, TensorSpec

QUICK = Plan(rule=StoppingRule(max_seconds=0.01), modes=("inference",), details=False)


def spec(*shape, batched=True):
    return InputSpec((TensorSpec(shape, batched=batched),))


@pytest.mark.parametrize(("batch", "size"), [(None, 8), (3, 3)])
def test_a_batch_of_eight_unless_another_is_asked_for(batch, size):
    profile = measured.profile(
        network_target(nn.Linear(4, 2), input=spec(1, 4), batch=batch), QUICK
    )
    assert profile.input == spec(size, 4)


def test_an_input_without_a_batch_stays_as_it_is():
    profile = measured.profile(network_target(nn.Linear(4, 2), input=spec(4, batched=False)), QUICK)
    assert profile.input == spec(4, batched=False)


@pytest.mark.parametrize(
    ("input", "batch", "message"),
    [
        (spec(4, batched=False), 2, "^batch: no input has a batch dimension; leave it out"),
        (spec(1, "D"), None, "8×D: a measured input needs numbers; give every side"),
    ],
)
def test_what_cannot_be_measured_is_told_before(input, batch, message):
    with pytest.raises(ArchscopeError, match=message):
        measured.profile(network_target(nn.Linear(4, 2), input=input, batch=batch), QUICK)


def test_a_network_that_cannot_be_counted_is_measured_and_the_reason_told(monkeypatch):
    def refused(*args, **options):
        raise ArchscopeError("net", "has an operator of its own")

    monkeypatch.setattr(measured, "analyse", refused)
    peaks = measured.session.devices.Peaks({"fp32": 1e11, "copy": 1e10}, "2026-11-22")
    monkeypatch.setattr(measured.session.devices, "peaks", lambda device, store: peaks)
    plan = Plan(rule=QUICK.rule, modes=("inference",), steps=1)
    profile = measured.profile(network_target(nn.Linear(4, 2), input=spec(1, 4)), plan)
    assert profile.analysis is None and profile.phases
    assert "Its operators could not be counted: has an operator of its own." in profile.notes


def test_one_sample_for_a_normalisation_to_train_on_is_told_with_its_remedy():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    plan = Plan(rule=QUICK.rule, details=False)
    with pytest.raises(ArchscopeError, match=r"^batch=1: Sequential cannot train on one sample"):
        measured.profile(network_target(network, input=spec(1, 4), batch=1), plan)


def test_more_threads_than_cores_are_refused_from_python_too():
    with pytest.raises(ArchscopeError, match=r"^threads=9999: this process may use"):
        plan = Plan(measured.session.Settings(threads=9999), QUICK.rule, details=False)
        measured.profile(network_target(nn.Linear(4, 2), input=spec(1, 4)), plan)
    assert torch.get_num_threads() < 9999
