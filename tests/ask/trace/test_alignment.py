"""Real steps recorded on the CPU with a range around every call, then read without the ranges."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.checkpoint import checkpoint

from archscope.ask.target import network_target
from archscope.ask.trace.profile import traced
from archscope.errors import ArchscopeError
from archscope.measure.layers import CallRecorder
from archscope.records import LayerTime
from archscope.study.profile.layers import layer_table
from archscope.study.trace import answer
from archscope.traces import chrome
from archscope.traces.attribution import attribute
from archscope.traces.events import CALL, Event, Trace
from tests.ask.trace.recording import Residual, credited, recorded


class Reentrant(Residual):
    reentrant = True


class Repeating(Residual):
    reentrant = False


class Pair(nn.Module):
    """Two checkpoints, which another one holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = checkpoint(self.first, x, use_reentrant=True)
        return checkpoint(self.second, x, use_reentrant=True)


class Nested(Reentrant):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Pair() for _ in range(2))


class Attention(nn.Module):
    """Layers of PyTorch's own, which in evaluation mode are one fused operator."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        y, _ = self.attention(x, x, x, need_weights=False)
        return self.head(self.norm(x + y).mean(1))


def record(network: nn.Module, path: Path, *, train: bool, amp: bool, shapes: bool) -> None:
    """Two steps as a profiler writes them, with our ranges."""
    network.train(train)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images = torch.randn(2, 3, 16, 16)

    def step() -> None:
        with torch.set_grad_enabled(train), torch.autocast("cpu", torch.bfloat16, enabled=amp):
            output = network(images)
        if train:
            nn.functional.mse_loss(output.float(), torch.zeros(2, 10)).backward()
            optimizer.step()
            optimizer.zero_grad()

    step()
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=shapes, acc_events=True)
    with profiler as session, CallRecorder(dict(network.named_modules())):
        for index in range(2):
            with record_function(f"ProfilerStep#{index}"):
                step()
    session.export_chrome_trace(str(path))


def without_ranges(path: Path) -> str:
    content: dict[str, Any] = json.loads(path.read_text())
    events = content["traceEvents"]
    content["traceEvents"] = [e for e in events if not str(e.get("name")).startswith(CALL)]
    stripped = path.with_name("stripped.json")
    stripped.write_text(json.dumps(content))
    return str(stripped)


def owners(trace: Trace) -> dict[tuple[str, int], tuple[str, int, str]]:
    """Module, call and phase of each operator of a layer."""
    return {
        (event.name, event.start): (event.owner.name, event.owner.index, event.phase)
        for event in trace.host
        if is_layers(event) and event.owner is not None
    }


def times(rows: Sequence[LayerTime]) -> dict[tuple[str, int], int]:
    """Nanoseconds of each layer."""
    return {(row.name, row.call): round(1e9 * row.total_seconds) for row in rows if row.in_network}


def is_layers(event: Event) -> bool:
    return event.owner is not None and event.owner.in_network and "::" in event.name


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # a checkpoint inside
@pytest.mark.parametrize("shapes", [True, False], ids=["shapes", "no shapes"])
@pytest.mark.parametrize(
    ("network", "train", "amp"),
    [
        (Residual, True, False),
        (Residual, True, True),
        (Residual, False, False),
        (Reentrant, True, False),
        (Nested, True, False),
        (Repeating, True, False),
        (Repeating, True, True),
        (Attention, True, False),
        (Attention, False, False),
    ],
)
def test_an_alignment_says_what_ranges_say(
    network: type[nn.Module], train: bool, amp: bool, shapes: bool, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    record(network(), path, train=train, amp=amp, shapes=shapes)
    truth = chrome.read(str(path))
    ranges = attribute(truth).times()
    target = network_target(network, input="3x16x16", batch=None if shapes else 2)
    found = traced(without_ranges(path), target)
    assert owners(found.attribution.trace) == owners(truth)
    assert len(owners(truth)) > 50
    assert times(found.profile.layers) == times(ranges.rows)
    assert found.profile.input.batch == 2
    assert min(found.profile.attributed.values()) > 0.99


def test_a_checkpoint_that_the_network_was_counted_without_is_its_callers(tmp_path: Path) -> None:
    """As where a trainer switches it on: a checkpoint around all of a module is not inside it."""
    path = tmp_path / "trace.json"
    record(Reentrant(), path, train=True, amp=False, shapes=True)
    truth = chrome.read(str(path))
    attribute(truth)
    found = traced(without_ranges(path), network_target(Residual, input="3x16x16"))
    assert owners(found.attribution.trace) == owners(truth)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


@pytest.mark.parametrize("shapes", [True, False])
def test_layers_that_are_one_fused_operator_each_get_theirs(shapes: bool, tmp_path: Path) -> None:
    path, network = tmp_path / "a.json", Encoder().eval()
    with torch.inference_mode(), profile(
        activities=[ProfilerActivity.CPU], record_shapes=shapes
    ) as profiler:  # fmt: skip
        for _ in range(2):
            network(torch.ones(2, 3, 16))
    profiler.export_chrome_trace(str(path))
    assert path.read_text().count('"aten::_transformer_encoder_layer_fwd"') == 4
    found = traced(str(path), network_target(Encoder, input="3x16", batch=2)).profile
    rows = [(row.name, row.call) for row in found.layers if row.in_network]
    assert rows == [("encoder.layers.0", 0), ("encoder.layers.1", 0), ("head", 0)]


def test_accumulated_gradients_are_of_several_calls(tmp_path: Path) -> None:
    path, network = tmp_path / "a.json", nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    recorded = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with recorded as profiler, record_function("ProfilerStep#0"):
        for _ in range(2):
            network(torch.ones(2, 4)).sum().backward()
    profiler.export_chrome_trace(str(path))
    found = traced(str(path), network_target(network, input="4")).profile
    rows = [(row.name, row.call) for row in found.layers if row.in_network]
    assert rows == [("0", 0), ("1", 0), ("0", 1), ("1", 1)]
    # Both passes do the linear layer's work: 2 × 4 × 4 forward, and as much for its weights.
    table = layer_table(found, None)
    shares = [dict(zip((c.key for c in table.columns), row.cells, strict=True))["macs_share"]
              for row in table.rows[:4]]  # fmt: skip
    assert shares == [0.5, 0, 0.5, 0]
    assert ", 2 × 2 samples" in answer(found)
    assert found.throughput("step") == pytest.approx(4 / found.phases["step"].median)


@pytest.mark.parametrize("steps", [1, 3])
def test_replicas_on_several_threads_are_one_network(steps: int, tmp_path: Path) -> None:
    """As DataParallel runs them, a thread and a device each, which are new threads in every step.

    A further thread does something else.

    Every replica takes 30 + 10 µs forward and 40 µs backward on a device of its own.
    """
    from tests.traces.writing import NODE, File

    file = File()
    for step, replica in itertools.product(range(steps), range(2)):
        begin = 2000 * step
        if replica == 0:
            file.host(f"ProfilerStep#{step}", begin, 900, cat="user_annotation")
            other = file.op("aten::relu", begin + 5, 2, tid=77)
            file.kernel(begin + 950, 3, begin + 6, tid=77, external=other)
        thread, engine, at = 30 + 2 * step + replica, 60 + replica, begin + 10 + replica
        device = {"stream": 7 + replica}
        op = file.op("aten::linear", at, 20, 0, dims=[[2, 4], [4, 4]], tid=thread)
        file.kernel(begin + 1000, 30, at + 1, tid=thread, external=op, **device)
        op = file.op("aten::relu", at + 30, 5, 1, tid=thread)
        file.kernel(begin + 1030, 10, at + 31, tid=thread, external=op, **device)
        file.op(NODE + "AddmmBackward0", at + 100, 20, 0, 1 + thread, tid=engine)
        op = file.op("AddmmBackward0", at + 101, 10, 0, 1 + thread, tid=engine)
        file.kernel(begin + 1100, 40, at + 102, tid=engine, external=op, **device)
    path = file.write(tmp_path / "trace.json")
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    found = traced(path, network_target(network, input="4")).profile
    rows = {row.name: {key: round(1e6 * value) for key, value in row.seconds.items()}
            for row in found.layers if row.in_network}  # fmt: skip
    assert rows == {"0": {"forward": 60, "backward": 80}, "1": {"forward": 20}}
    assert found.input.batch == 2 * 2
    assert any(note.startswith("2 threads run the network at once") for note in found.notes)


def test_another_network_in_the_step_has_a_row_of_its_own(tmp_path: Path) -> None:
    """As a discriminator has, whose second pass comes between two backward passes."""
    generator = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
    discriminator = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.Conv1d(3, 2, 2))

    def step() -> None:
        made = generator(torch.ones(2, 4))
        discriminator(made.detach()[:, None]).exp().mean().backward()
        discriminator(made[:, None]).exp().mean().backward()

    path = recorded(tmp_path / "gan.json", step)
    found = traced(path, network_target(generator, input="4"))
    other = {"[another network]"}
    assert credited(found, "ConvolutionBackward0") == credited(found, "aten::relu") == other
    assert credited(found, "AddmmBackward0") == {"0"}
    assert credited(found, "aten::exp") == {"[loss]"}
    assert found.profile.attributed["forward"] < 1
    assert any("such as conv1d 3×1×3; name that" in note for note in found.profile.notes)
    # The other one's view of the same file: two passes, and no row for the loss has layers in it.
    found = traced(path, network_target(discriminator, input="1x4"))
    assert credited(found, "ConvolutionBackward0") == {"0", "2"}
    assert credited(found, "aten::linear") == other
    calls = {(row.name, row.call) for row in found.profile.layers if row.in_network}
    assert calls >= {("0", 0), ("0", 1), ("2", 0), ("2", 1)}


def test_passes_on_other_sizes_are_of_the_network_too(tmp_path: Path) -> None:
    """An evaluation on five images before a step on two: the batch is the step's."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    five, two = torch.ones(5, 3, 4, 4), torch.ones(2, 3, 4, 4)

    def step() -> None:
        with torch.no_grad():
            network(five)
        network(two).sum().backward()

    path = recorded(tmp_path / "evaluated.json", step)
    found = traced(path, network_target(network, input="3x4x4"))
    assert found.profile.input.batch == 2
    assert credited(found, "aten::conv2d") == {"0"}
    assert found.profile.attributed == {"forward": 1.0, "backward": 1.0}
    # The step's own pass is the first one, whose work was counted.
    by_call = {row.call: row for row in found.profile.layers if row.name == "0"}
    assert "backward" in by_call[0].seconds and "backward" not in by_call[1].seconds
    assert any("2 times (Call numbers them), 1 of them" in n for n in found.profile.notes)
    assert any("without gradients in a step: 1." in note for note in found.profile.notes)


def test_a_network_that_cannot_train_on_one_sample_has_its_batch_found(tmp_path: Path) -> None:
    """Normalisation over one value a channel needs two, as in Inception v3."""
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    images = torch.ones(5, 3, 4, 4)
    path = recorded(tmp_path / "normalised.json", lambda: network(images).sum().backward())
    found = traced(path, network_target(network, input="3x4x4")).profile
    assert found.input.batch == 5
    assert {row.name for row in found.layers if row.in_network} == {"0", "1", "2"}


def test_a_function_that_the_network_does_not_have_is_where_it_runs(tmp_path: Path) -> None:
    class Triple(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
            return x.mul(3)

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient.mul(3)

    network = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(4, 4))
    hooked = copy.deepcopy(network)
    hooked[0][0].register_forward_hook(lambda module, args, output: Triple.apply(output))
    path = recorded(tmp_path / "hooked.json", lambda: hooked(torch.ones(2, 4)).sum().backward())
    found = traced(path, network_target(network, input="4"))
    assert credited(found, "TripleBackward") == credited(found, "aten::mul") == {"0"}


def test_a_batch_that_the_file_does_not_tell_is_not_made_up(tmp_path: Path) -> None:
    path, network = tmp_path / "a.json", nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        network(torch.ones(3, 4)).sum().backward()
    profiler.export_chrome_trace(str(path))
    found = traced(str(path), network_target(network, input="4")).profile
    assert any("does not say the batch size" in note for note in found.notes)
    assert "samples" not in answer(found)
    given = traced(str(path), network_target(network, input="4", batch=3)).profile
    note = "The file has no shapes: operators were compared by name and order."
    assert "3 samples" in answer(given) and given.notes == (note,)


def test_a_penalty_on_gradients_is_of_the_layers_that_they_are_of(tmp_path: Path) -> None:
    """With `create_graph=True` nodes run with gradients on, as recomputed operators do."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 2, 3))

    def step() -> None:
        images = torch.ones(2, 3, 8, 8, requires_grad=True)
        (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
        slope.pow(2).mean().backward()

    found = traced(recorded(tmp_path / "a.json", step), network_target(network, input="3x8x8"))
    for operator in ("aten::convolution_backward", "aten::_convolution_double_backward"):
        assert credited(found, operator) == {"0", "2"}
    assert credited(found, "aten::softplus_backward") == {"1"}
    assert not any("recompute" in row.seconds for row in found.profile.layers)


def test_another_length_of_text_is_refused_with_the_one_that_was_traced(tmp_path: Path) -> None:
    path, network = tmp_path / "a.json", nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4))
    recorded = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with torch.no_grad(), recorded as profiler:
        network(torch.ones(2, 5, dtype=torch.int64))
    profiler.export_chrome_trace(str(path))
    with pytest.raises(ArchscopeError, match=r"the trace has .*5:int64.* and .*2"):
        traced(str(path), network_target(network, input="7:int64"))
    assert traced(str(path), network_target(network, input="5:int64")).profile.input.batch == 2
