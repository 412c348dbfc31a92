"""The prediction of a step's memory beside what was measured of it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from archscope import archive
from archscope.ask.profile.predicted import predicted_bytes
from archscope.ask.target import Target
from archscope.measure.memory import peak_bytes
from archscope.measure.session import Plan
from archscope.measure.step import STEPS, Settings, configured
from archscope.records import Environment, InputSpec, Profile, TensorSpec
from archscope.study.profile import memory_table, whole_step_table

CPU = torch.device("cpu")
SPEC = InputSpec((TensorSpec((4, 16)),))
EXACT = ("parameters", "buffers", "input", "gradients", "optimizer state", "activations")
"""What stays is the same on every device; the peaks hold a library's temporaries too."""


def network():
    return nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


SMALL = Target(network, input=SPEC)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "none"])
def test_what_a_training_step_holds_is_what_was_predicted(optimizer):
    settings = Settings(optimizer=optimizer)
    with configured(settings, CPU):
        measured = peak_bytes(STEPS["training"](network(), SPEC, settings, CPU))
    found = predicted_bytes(SMALL, Plan(settings), "float32")
    if optimizer in ("adam", "adamw"):  # a counter of steps for each parameter is not predicted
        measured["optimizer state"] -= 4 * len(list(network().parameters()))
    # Autograd also keeps the loss's own labels, which are an input of the step, not of the network.
    assert {key: found.get(key, 0) for key in EXACT if key != "activations"} == {
        key: measured.get(key, 0) for key in EXACT if key != "activations"
    }
    assert found["activations"] == pytest.approx(measured["activations"], abs=100)
    assert ("optimizer allocated" in found) == (optimizer != "none")
    assert found["backward allocated"] <= measured["backward allocated"] * 1.05


def test_inference_keeps_nothing():
    found = predicted_bytes(SMALL, Plan(modes=("inference",)), "float32")
    assert set(found) == {"parameters", "buffers", "input", "inference allocated"}


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        (Settings(amp=True), "float32"),
        (Settings(compile="default"), "float32"),
        (Settings(), "int8"),
    ],
)
def test_nothing_is_predicted_where_no_prediction_holds(settings, dtype):
    assert predicted_bytes(SMALL, Plan(settings), dtype) == {}


def test_the_table_has_both_and_a_file_keeps_them():
    profile = Profile(
        "net", SPEC, Environment("cpu"), peak_bytes={"parameters": 8, "forward allocated": 20},
        predicted_bytes={"parameters": 8}, keywords=(("seq", "16"),),
    )  # fmt: skip
    table = memory_table(profile)
    assert table.column("predicted_bytes") == [8, None]
    assert any("tensor by tensor on a CPU" in note for note in table.notes)
    assert "net (seq=16)" in table.title and "net (seq=16)" in whole_step_table(profile).title
    on_a_gpu = memory_table(replace(profile, environment=Environment("cuda:0")))
    assert any("tensor by tensor on a GPU" in note for note in on_a_gpu.notes)
    assert archive.loads(archive.dumps(profile)) == profile
    bare = memory_table(replace(profile, predicted_bytes={}))
    assert [column.key for column in bare.columns] == ["kind", "bytes"]
