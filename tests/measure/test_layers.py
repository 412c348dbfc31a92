"""Layer tables of real steps on the CPU: nothing lost, everything in its place, sums that close."""

import warnings

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from archscope.measure import device as devices
from archscope.measure import events, layers
from archscope.measure.layers import CallRecorder, profile_layers, run_stages
from archscope.measure.sampling import StoppingRule
from archscope.measure.serialised import serialised_layers
from archscope.measure.session import Plan, closed, run
from archscope.measure.step import InferenceStep, Settings, TrainingStep, configured
from archscope.records import InputSpec, LayerTime, TensorSpec
from archscope.records.measured import PROFILER_OVERHEAD
from archscope.traces.attribution import attribute
from archscope.traces.events import STEP
from archscope.traces.rows import HOST_GAP, LayerTimes

CPU = torch.device("cpu")
SETTINGS = Settings(threads=1)


class Shared(nn.Module):
    """One convolution called three times, once by another name, with an in-place activation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.alias = self.conv
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.first(x)
        for _ in range(2):
            x = self.relu(self.conv(x)) + x
        return self.head(self.alias(x).mean((2, 3)))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.stem = nn.Conv2d(3, 8, 3)
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU(inplace=True))
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = checkpoint(self.block, self.stem(x), use_reentrant=self.reentrant)
        return self.head(x.mean((2, 3)))


def torchvision_network(name):
    from torchvision import models

    return getattr(models, name)(num_classes=10)


NETWORKS = {
    "resnet18": (lambda: torchvision_network("resnet18"), 20, 0),
    "densenet121": (lambda: torchvision_network("densenet121"), 120, 0),
    "shared": (Shared, 4, 0),
    "checkpointed": (lambda: Checkpointed(False), 2, 1),
    "checkpointed reentrant": (lambda: Checkpointed(True), 2, 1),
}
"""Each with its calls of convolutions in the forward pass, and how many of them are recomputed."""


def training_step(module, side=32):
    spec = InputSpec((TensorSpec((2, 3, side, side)),))
    step = TrainingStep(module, spec, SETTINGS, CPU)
    step()
    return step


@pytest.mark.parametrize("name", NETWORKS)
def test_all_time_finds_its_layer_and_rows_add_up_to_the_step(name, monkeypatch):
    build, convolutions, _ = NETWORKS[name]
    sessions, session = [], layers._session

    def kept(*arguments):
        sessions.append(session(*arguments))
        return sessions[-1]

    monkeypatch.setattr(layers, "_session", kept)
    with configured(SETTINGS, CPU):
        step = training_step(build())
        table = profile_layers(step, steps=2)
    assert min(table.attributed[phase] for phase in ("forward", "backward")) >= 0.98
    (raw,) = sessions
    ranges = [event.duration_ns() for event in raw if event.name().startswith(STEP)]
    # The first of the three steps is the profiler's own warm-up.
    assert len(ranges) == 2
    assert table.step_seconds == pytest.approx(sum(ranges) / 2e9)
    backward = [r for r in table.rows if r.kind == "Conv2d" and r.seconds.get("backward", 0) > 0]
    assert len(backward) == convolutions


@pytest.mark.parametrize("name", NETWORKS)
def test_backward_events_have_the_weight_shape_of_the_layer_they_are_credited_to(name):
    build, convolutions, recomputed = NETWORKS[name]
    step = training_step(build())
    recorder = CallRecorder(step.modules)
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True)
    with recorder, profiler as session:
        run_stages(step)
    raw = list(session.profiler.kineto_results.events())
    trace = events.read(raw)
    attribute(trace)
    owner = {(event.start, event.name): event.owner for event in trace.host}
    seen = 0
    for event in raw:
        if event.name() == "aten::convolution_backward":
            call = owner[event.start_ns(), event.name()]
            assert list(event.shapes()[2]) == list(step.modules[call.name].weight.shape)
            seen += 1
    assert seen == convolutions
    again = {
        event.owner.key
        for event in trace.host
        if event.phase == "recompute" and event.owner and event.owner.kind == "Conv2d"
    }
    assert len(again) == recomputed


def test_calls_of_a_shared_module_are_rows_of_their_own():
    table = profile_layers(training_step(Shared()), steps=1)
    rows = [row for row in table.rows if row.kind == "Conv2d"]
    assert [(row.name, row.call) for row in rows] == [
        ("first", 0), ("conv", 0), ("conv", 1), ("conv", 2),
    ]  # fmt: skip
    # The gradient of a shared weight is summed over its calls.
    assert sum(row.seconds.get("accumulation", 0) for row in rows) > 0


def test_recomputation_stands_beside_forward_and_backward():
    table = profile_layers(training_step(Checkpointed(False)), steps=1)
    (row,) = [row for row in table.rows if row.name == "block.0"]
    assert {"forward", "recompute", "backward"} <= set(row.seconds)
    (stem,) = [row for row in table.rows if row.name == "stem"]
    assert "recompute" not in stem.seconds


def test_container_and_loss_and_optimizer_have_rows():
    table = profile_layers(training_step(torchvision_network("resnet18")), steps=1)
    rows = {row.name: row for row in table.rows}
    # The residual add is the block's own work, done by no module inside.
    assert rows["layer1.0"].kind == "BasicBlock"
    assert rows["layer1.0"].launches >= 1
    assert rows["[loss]"].seconds["backward"] > 0
    assert set(rows["[optimizer]"].seconds) == {"optimizer"}
    assert list(rows)[-1] == HOST_GAP


def test_inference_has_a_forward_only():
    spec = InputSpec((TensorSpec((2, 3, 32, 32)),))
    step = InferenceStep(Shared(), spec, SETTINGS, CPU)
    step()
    table = profile_layers(step, steps=1)
    assert {phase for row in table.rows if row.kind for phase in row.seconds} <= {
        "forward", "other", "inference",
    }  # fmt: skip


def test_hooks_are_gone_afterwards_even_when_the_network_fails():
    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    network = nn.Sequential(nn.Conv2d(3, 3, 1), Failing())
    recorder = CallRecorder(dict(network.named_modules()))
    with pytest.raises(ValueError, match="no"), recorder:
        network(torch.zeros(1, 3, 2, 2))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network)
    assert not recorder._open.ranges


def test_a_failure_caught_inside_leaves_later_calls_in_their_place():
    class Hesitant(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(7, 3), nn.Linear(4, 3)

        def forward(self, x):
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.right(x)

    spec = InputSpec((TensorSpec((2, 4)),))
    step = TrainingStep(Hesitant(), spec, SETTINGS, CPU)
    step()
    rows = {row.name: row for row in profile_layers(step, steps=1).rows}
    assert rows["right"].seconds["backward"] > 0


def test_profiling_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profile_layers(training_step(Shared()), steps=1)


def test_serialised_layers_close_and_say_what_they_are():
    step = training_step(Checkpointed(False))
    table = serialised_layers(step, steps=2)
    rows = {(row.name, row.call): row for row in table.rows}
    assert "serialised" in table.notes[0]
    # The block runs again while the backward pass recomputes it.
    assert {("stem", 0), ("block.0", 0), ("head", 0), ("[loss]", 0)} <= set(rows)
    assert set(rows["[backward]", 0].seconds) == {"backward"}
    assert set(rows["[optimizer]", 0].seconds) == {"optimizer"}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in step.modules.values())


def test_a_hosts_table_closes_with_what_measuring_cost():
    """Profiled 10 + 6 + 3 + 1 ms, alone 7 + 5 ms, and 12.5 ms as the median of the whole."""
    rows = (
        LayerTime("conv", "Conv2d", 0, {"forward": 0.010, "backward": 0.006}),
        LayerTime("head", "Linear", 0, {"accumulation": 0.003}),
        LayerTime(HOST_GAP, "", 0, {"other": 0.001}, in_network=False),
    )
    profiled = LayerTimes(rows)
    table = closed(profiled, {"forward": 0.007, "backward": 0.005}, 0.0125)
    assert table.rows[:-1] == rows, "no row is scaled"
    assert table.rows[-1].name == PROFILER_OVERHEAD
    assert table.rows[-1].seconds == {
        "forward": pytest.approx(-0.003),
        # The backward pass adds up its gradients too.
        "backward": pytest.approx(-0.004),
        "other": pytest.approx(-0.0005),
    }
    assert table.step_seconds == pytest.approx(0.0125)


def test_a_profile_of_a_host_adds_up_to_the_step_it_timed(monkeypatch):
    peaks = devices.Peaks({"fp32": 1e11, "copy": 1e10}, "2026-11-22")
    monkeypatch.setattr(devices, "peaks", lambda device, store: peaks)
    rule = StoppingRule(max_seconds=0.02)
    spec = InputSpec((TensorSpec((2, 3, 8, 8)),))
    for mode, whole in (("training", "step"), ("inference", "inference")):
        profile = run("shared", Shared(), spec, Plan(SETTINGS, rule, (mode,), steps=2))
        total = sum(row.total_seconds for row in profile.layers)
        assert total == pytest.approx(profile.phases[whole].median, rel=1e-6)
        forward = sum(row.seconds.get("forward", 0) + row.seconds.get("inference", 0)
                      for row in profile.layers)  # fmt: skip
        timed = "forward" if mode == "training" else "inference"
        assert forward == pytest.approx(profile.phases[timed].median, rel=1e-6)
