"""Capturing a step as a CUDA graph, on a stand-in for CUDA that knows which stream is current."""

import contextlib
import warnings

import pytest
import torch
from torch import nn

from archscope.measure import session
from archscope.measure.graph import captured
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan
from archscope.measure.step import Settings, TrainingStep
from archscope.records import InputSpec, TensorSpec

CPU = torch.device("cpu")
SPEC = InputSpec((TensorSpec((4, 6)),))


class Device:
    """Its current stream, what it was told, and whether captures fail."""

    def __init__(self):
        self.stream, self.capturing, self.fails, self.log = "default", False, False, []


@pytest.fixture
def cuda(monkeypatch):
    device = Device()

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            device.log.append("wait")

    class Graph:
        def __init__(self, graph, stream):
            self.stream = stream

        def __enter__(self):
            device.stream, device.capturing = self.stream, True

        def __exit__(self, *_):
            device.capturing = False
            if device.fails:
                # Ending the capture raises, and PyTorch never comes to put the stream back.
                raise RuntimeError("operation failed due to a previous error during capture")
            device.stream = "default"

    @contextlib.contextmanager
    def stream(chosen):
        before, device.stream = device.stream, chosen
        try:
            yield
        finally:
            device.stream = before

    here = Stream()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: here)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", type("CUDAGraph", (), {"replay": lambda _: None}))
    return device


class Watched(nn.Linear):
    """Says on which stream it runs, and synchronises."""

    def __init__(self, device):
        super().__init__(6, 3)
        self.where = device

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.where.log.append((self.where.stream != "default", self.where.capturing))
        if self.where.capturing and self.where.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        return super().forward(x)


def test_a_step_is_warmed_up_on_a_side_stream_and_then_captured_there(cuda):
    captured(TrainingStep(Watched(cuda), SPEC, Settings(), CPU))
    assert cuda.log == ["wait", *[(True, False)] * 3, (True, True), "wait"]
    assert cuda.stream == "default"


def test_a_capture_that_fails_leaves_stream_and_gradients_as_they_were(cuda):
    step = TrainingStep(nn.Linear(6, 3), SPEC, Settings(optimizer="none"), CPU)

    def wait():
        if cuda.capturing:
            cuda.fails = True
            raise RuntimeError("operation not permitted when stream is capturing")
        step.eager.zero_grad(set_to_none=True)

    step.optimizer = torch.optim.SGD(step.eager.parameters())  # so that gradients stay
    step.stages["optimizer"] = wait
    with pytest.raises(RuntimeError):
        captured(step)
    assert cuda.stream == "default"
    assert all(parameter.grad is None for parameter in step.eager.parameters())


def test_the_note_tells_the_error_that_made_the_capture_fail(cuda):
    cuda.fails = True
    found = session.Session("watched", Plan(rule=StoppingRule()), session.silent)
    step = TrainingStep(Watched(cuda), SPEC, Settings(), CPU)
    found._time_graph(step)
    (note,) = found.notes
    assert "not permitted when stream is capturing" in note


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_counts_on_the_device_only_for_a_graph(cuda, optimizer):
    step = TrainingStep(nn.Linear(6, 3), SPEC, Settings(optimizer=optimizer, cuda_graph=True), CPU)
    step()
    seen = []

    def update():
        seen.append([group["capturable"] for group in step.optimizer.param_groups])
        if not cuda.capturing and seen[-1] == [True]:
            # PyTorch's own, which a user who asked for a graph need not read.
            warnings.warn("This instance was constructed with capturable=True or", stacklevel=1)

    step.stages["optimizer"] = update
    step()
    captured(step)
    assert seen == [[False], *[[True]] * 4]
