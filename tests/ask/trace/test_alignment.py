"""Real steps recorded on the CPU with a range around every call, then read without the ranges."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.checkpoint import checkpoint

from archscope.ask.target import network_target
from archscope.ask.trace.aligned import FOLDED
from archscope.ask.trace.profile import Traced, traced
from archscope.errors import ArchscopeError
from archscope.measure.layers import CallRecorder
from archscope.records import LayerTime
from archscope.study.profile.layers import layer_table
from archscope.study.trace import answer
from archscope.traces import chrome
from archscope.traces.attribution import attribute
from archscope.traces.events import CALL, Event, Trace


class Residual(nn.Module):
    """Blocks with a sum, one of them called twice; checkpointed in either way or not at all."""

    reentrant: bool | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
            for _ in range(2)
        )
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in (*self.blocks, self.blocks[0]):
            if self.reentrant is None:
                y = block(x)
            else:
                y = checkpoint(block, x, use_reentrant=self.reentrant)
            x = self.relu(x + y)
        return self.fc(x.mean((2, 3)))


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


@pytest.mark.parametrize("marked", [True, False])
def test_blocks_that_are_compiled_one_by_one_are_one_pass(marked: bool, tmp_path: Path) -> None:
    """Written by hand: an eager convolution, three graphs, an eager linear layer; twice."""
    from tests.traces.writing import ENGINE, NODE, File

    file = File()
    for step in range(2):
        at = 2000 * step
        if marked:
            file.host(f"ProfilerStep#{step}", at, 900, cat="user_annotation")
        x, w = [2, 3, 16, 16], [8, 3, 3, 3]
        op = file.op("aten::conv2d", at + 10, 5, 10 * step, dims=[x, w])
        file.kernel(at + 1000, 30, at + 11, external=op)
        for index in range(3):
            begin = at + 20 + 10 * index
            file.host("TorchDynamo Cache Lookup", begin - 1, 0.5)
            file.op("Torch-Compiled Region: 1/0", begin, 8)
            op = file.op("CompiledFunction", begin + 1, 5, 10 * step + 1 + index)
            file.kernel(at + 1030 + 10 * index, 10, begin + 2, external=op)
        op = file.op("aten::linear", at + 60, 5, 10 * step + 5, dims=[[2, 8], [10, 8]])
        file.kernel(at + 1060, 7, at + 61, external=op)
        for index in reversed(range(3)):
            begin, number = at + 100 - 10 * index, 10 * step + 1 + index
            file.op(NODE + "CompiledFunctionBackward", begin, 8, number, 1, tid=ENGINE)
            op = file.op("CompiledFunctionBackward", begin + 1, 5, number, 1, tid=ENGINE)
            file.kernel(at + 1100 - 10 * index, 4, begin + 2, tid=ENGINE, external=op)
    path = file.write(tmp_path / "trace.json")
    found = traced(path, network_target(Residual, input="3x16x16"))
    assert len(found.attribution.steps.steps) == 2
    rows = {
        (row.name, row.call): round(1e6 * row.total_seconds)
        for row in found.profile.layers
        if row.in_network
    }
    region = "compiled region 1/0"
    graphs = {(region, index): 14 for index in range(3)}
    assert rows == {("stem", 0): 30, **graphs, ("fc", 0): 7}


def test_a_region_of_the_compiler_is_told_from_what_runs_between_its_graphs(tmp_path: Path) -> None:
    """Written by hand: two graphs with an eager convolution between them, inside one region."""
    from tests.traces.writing import File

    file = File()
    file.host("ProfilerStep#0", 0, 900, cat="user_annotation")
    file.op("Torch-Compiled Region: 0/0", 10, 300)
    x, w = [2, 3, 16, 16], [8, 3, 3, 3]
    y, v = [2, 8, 16, 16], [8, 8, 3, 3]
    file.op("CompiledFunction", 20, 50, 0)
    inner = file.op("aten::convolution", 30, 10, dims=[x, w])
    file.kernel(1000, 50, 31, external=inner)
    eager = file.op("aten::conv2d", 100, 20, 1, dims=[y, v])
    file.kernel(1050, 40, 101, external=eager)
    file.op("Torch-Compiled Region: 1/0", 150, 100)
    second = file.op("CompiledFunction", 160, 50, 2)
    file.kernel(1090, 30, 161, external=second)
    path = file.write(tmp_path / "trace.json")
    found = traced(path, network_target(Residual, input="3x16x16"))
    rows = {row.name: round(1e6 * row.total_seconds) for row in found.profile.layers}
    assert rows["compiled region 0/0"] == 50 and rows["compiled region 1/0"] == 30
    assert rows["blocks.0.0"] == 40


def compiled_layers(path: Path, layers: int, width: int, *, train: bool, batch: int = 16) -> str:
    """Written by hand: a compiled network of linear layers, whose last one has 10 outputs."""
    from tests.traces.writing import File

    file = File()
    file.host("ProfilerStep#0", 0, 900, cat="user_annotation")
    file.op("Torch-Compiled Region: 0/0", 10, 300)
    sides = [32, *[width] * (layers - 1), 10]
    pairs = list(itertools.pairwise(sides))
    if train:
        weights = [shape for a, b in pairs for shape in ([b, a], [b])]
        file.op("CompiledFunction", 20, 200, 0, dims=[[batch, 32], *weights])
    file.op("## Call CompiledFxGraph f0 ##", 30, 100)
    for index, (a, b) in enumerate(pairs):
        padded = -(-b // 4) * 4  # as the compiler pads ten outputs
        dims = [[padded], [batch, a], [a, padded], [], []]
        product = file.op("aten::addmm", 31 + 10 * index, 5, dims=dims)
        file.kernel(1000 + 50 * index, 50, 32 + 10 * index, external=product)
    return file.write(path)


def linear_layers(layers: int, width: int) -> nn.Module:
    sides = [32, *[width] * (layers - 1), 10]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sides)))


@pytest.mark.parametrize("train", [True, False])
def test_a_compiled_network_is_known_by_its_matrix_products(train: bool, tmp_path: Path) -> None:
    path = compiled_layers(tmp_path / "a.json", 4, 64, train=train)
    for batch in (None, 16):
        found = traced(path, network_target(linear_layers(4, 64), input="32", batch=batch))
        assert found.profile.input.batch == 16
        assert [row.name for row in found.profile.layers if row.in_network] == [
            "compiled region 0/0"
        ]


@pytest.mark.parametrize(
    ("layers", "width", "batch", "train", "message"),
    [
        (4, 48, None, True, r"operator 1 \(0\): the trace has no weight of 48×32"),
        (4, 48, None, False, r"operator 1 \(0\): the trace has linear 64×32, .* linear 48×32"),
        (5, 64, None, True, r"operator 4 \(3\): the trace has no more weight of 64×64"),
        (5, 64, None, False, r"operator 4 \(3\): the trace has no more"),
        (3, 64, None, True, r"operator 2 \(1\): the trace has 2 matrix products .* has 1"),
        (3, 64, None, False, r"operator 2 \(1\): the trace has 2 matrix products .* has 1"),
        (4, 64, 8, True, r"operator 1 \(0\): the trace has linear on 16×32, .* on 8×32"),
        (4, 64, 4, False, r"operator 1 \(0\): the trace has linear on 16×32, .* on 4×32"),
    ],
)
def test_another_network_than_the_compiled_one_is_refused(
    layers: int, width: int, batch: int | None, train: bool, message: str, tmp_path: Path
) -> None:
    """The trace is of four layers that are 64 wide, on a batch of 16."""
    path = compiled_layers(tmp_path / "a.json", 4, 64, train=train)
    with pytest.raises(ArchscopeError, match=message):
        traced(path, network_target(linear_layers(layers, width), input="32", batch=batch))


def convolutions(number: int) -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(number)))


def test_a_compiled_network_has_all_convolutions_of_a_size(tmp_path: Path) -> None:
    from tests.traces.writing import File

    file = File()
    file.host("ProfilerStep#0", 0, 900, cat="user_annotation")
    file.op("Torch-Compiled Region: 0/0", 10, 300)
    file.op("## Call CompiledFxGraph f0 ##", 30, 100)
    for index in range(2):
        dims = [[2, 3, 8, 8], [3, 3, 3, 3], [3]]
        called = file.op("aten::convolution", 31 + 10 * index, 5, dims=dims)
        file.kernel(1000 + 50 * index, 50, 32 + 10 * index, external=called)
    path = file.write(tmp_path / "a.json")
    found = traced(path, network_target(convolutions(2), input="3x8x8"))
    assert found.profile.input.batch == 2
    for number, place in (
        (1, r"operator 1 \(0\)"),
        (3, r"operator 3 \(2\): the trace has no more"),
    ):
        with pytest.raises(ArchscopeError, match=place):
            traced(path, network_target(convolutions(number), input="3x8x8"))


def test_a_tied_weight_goes_into_a_compiled_graph_once(tmp_path: Path) -> None:
    """As where the head of a language model has the weight of its embedding."""
    path = compiled_layers(tmp_path / "a.json", 3, 32, train=True)
    content = json.loads(Path(path).read_text())
    for event in content["traceEvents"]:
        if event["name"] == "CompiledFunction":
            event["args"]["Input Dims"].remove([32, 32])
    Path(path).write_text(json.dumps(content))
    network = linear_layers(3, 32)
    with pytest.raises(ArchscopeError, match="no more weight of 32×32"):
        traced(path, network_target(network, input="32"))
    network[1].weight = network[0].weight  # type: ignore[index,union-attr]
    traced(path, network_target(network, input="32"))


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


def recorded(path: Path, step: Callable[[], object], **options: bool) -> str:
    """A trace of one step, with shapes and without module calls."""
    options = {"record_shapes": True, **options}
    profiled = profile(activities=[ProfilerActivity.CPU], **options)
    with profiled as profiler, record_function("ProfilerStep#0"):
        step()
    profiler.export_chrome_trace(str(path))
    return str(path)


def credited(found: Traced, node: str) -> set[str]:
    """The rows of operators by their name."""
    return {
        credit.call.name if credit.call is not None else "nothing"
        for credit in found.attribution.credits
        if isinstance(credit.source, Event) and credit.source.name == node
    }


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


class Heads(nn.Module):
    """Attention with weights that do not tell the number of heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).unflatten(2, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        return nn.functional.scaled_dot_product_attention(q, k, v).flatten(2)


def two_convolutions(dilation: int = 1, norm: nn.Module | None = None) -> nn.Module:
    second = nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm or nn.Identity(), second)


@pytest.mark.parametrize(
    ("ran", "named", "input", "place"),
    [
        (Heads(2), Heads(4), "5x8",
         r"the trace has scaled_dot_product_attention 2×2×5×4, Heads has .* 2×4×5×2"),
        (two_convolutions(), two_convolutions(2), "3x8x8",
         r"operator 2 \(2\): the trace has conv2d with padding \[1, 1\], .*\[2, 2\]"),
        (two_convolutions(norm=nn.GroupNorm(2, 4)), two_convolutions(), "3x8x8",
         r"operator 2 \(2\): the trace has group_norm, Sequential has conv2d"),
        (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 1)),
         nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 1)), "3x8x8",
         r"operator 1 \(0\): the trace has max_pool2d with kernel_size \[2, 2\], .* \[3, 3\]"),
    ],
)  # fmt: skip
def test_networks_with_the_same_weights_and_outputs_are_not_taken_for_each_other(
    tmp_path: Path, ran: nn.Module, named: nn.Module, input: str, place: str
) -> None:
    images = torch.ones(2, *map(int, input.split("x")))
    path = recorded(tmp_path / "a.json", lambda: ran(images).sum().backward())
    assert traced(path, network_target(ran, input=input)).profile.layers
    with pytest.raises(ArchscopeError, match=place):
        traced(path, network_target(named, input=input))


def test_the_first_operator_that_differs_is_named_without_shapes_too(tmp_path: Path) -> None:
    """The first three convolutions are those of the network; what is between them is not."""
    ran = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(4)))
    named = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.GELU(),
                          nn.Conv2d(3, 3, 1), nn.ReLU())  # fmt: skip
    path = str(tmp_path / "a.json")
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        ran(torch.ones(2, 3, 4, 4)).sum().backward()
    profiler.export_chrome_trace(path)
    with pytest.raises(ArchscopeError, match=r"operator 4 \(3\): the trace has relu, .* gelu"):
        traced(path, network_target(named, input="3x4x4"))


@pytest.mark.parametrize(
    ("operator", "query"),
    # Eight samples of twelve tokens in four heads of eight channels.
    [("aten::_scaled_dot_product_flash_attention", [8, 4, 12, 8]), ("aten::bmm", [32, 12, 8])],
)
def test_attention_shows_how_a_compiled_graph_divides_tokens(
    tmp_path: Path, operator: str, query: list[int]
) -> None:
    """A compiled layer runs on 96 tokens at once, of 8 samples or of 4."""
    from tests.traces.writing import File

    def written(attends: bool) -> str:
        file = File()
        file.host("ProfilerStep#0", 0, 900, cat="user_annotation")
        file.op("Torch-Compiled Region: 0/0", 10, 300)
        file.op("## Call CompiledFxGraph f0 ##", 30, 100)
        file.op("aten::addmm", 31, 5, dims=[[96], [96, 32], [32, 96]])
        if attends:
            file.op(operator, 41, 5, dims=[query, query, query])
        file.op("aten::addmm", 51, 5, dims=[[4], [96, 32], [32, 4]])
        return file.write(tmp_path / "a.json")

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project, self.head = nn.Linear(32, 96), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.project(x).unflatten(2, (3, 4, 8)).transpose(1, 3).unbind(2)
            attended = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.head(attended.transpose(1, 2).flatten(2))

    assert traced(written(True), network_target(Attends(), input="12x32")).profile.notes == ()
    with pytest.raises(ArchscopeError, match=r"on 8×4×12×8|on 32×12×8.*attention on 4×4×24×8"):
        traced(written(True), network_target(Attends(), input="24x32"))
    for input in ("12x32", "24x32"):
        (note,) = traced(written(False), network_target(Attends(), input=input)).profile.notes
        assert "not how these are divided into samples" in note


def rewritten(path: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> str:
    content = json.loads(Path(path).read_text())
    content["traceEvents"] = change(content["traceEvents"])
    Path(path).write_text(json.dumps(content))
    return path


def test_shapes_beneath_those_of_an_operator_are_torchscripts(tmp_path: Path) -> None:
    """Its interpreter records its whole stack: a value that waits for a sum, then the inputs."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)).eval()

    def change(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for event in events:
            if event.get("name") in ("aten::conv2d", "aten::batch_norm"):
                event["args"]["Input Dims"].insert(0, [2, 4, 8, 8])
                event["args"]["Concrete Inputs"].insert(0, "")
        return events

    with torch.no_grad():
        path = recorded(tmp_path / "a.json", lambda: network(torch.ones(2, 3, 8, 8)))
    found = traced(rewritten(path, change), network_target(network, input="3x8x8"))
    assert credited(found, "aten::batch_norm") == {"1"}
    with pytest.raises(ArchscopeError, match=r"stride \[2, 2\], Sequential has .* \[1, 1\]"):
        other = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4))
        traced(path, network_target(other, input="3x8x8", batch=2))


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


def test_two_networks_alike_are_not_one_that_runs_twice(tmp_path: Path) -> None:
    """Two networks have two gradients of each weight in a backward pass, one network has one."""
    first, second = linear_layers(3, 8), linear_layers(3, 8)
    x = torch.ones(2, 32)
    for name, other, begin in (
        ("one", first, "A step runs the network 2 times"),
        ("two", second, "2 networks with the same layers run in a step"),
    ):
        path = recorded(
            tmp_path / name, lambda other=other: (first(x) - other(-x)).sum().backward()
        )
        (note,) = traced(path, network_target(first, input="32")).profile.notes
        assert note.startswith(begin)


def test_a_constant_mask_is_no_difference(tmp_path: Path) -> None:
    """Without memory its numbers are written by other operators."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            mask = x.new_zeros(4)
            mask[1:3] = 7
            return self.second(x * mask)

    path = recorded(tmp_path / "a.json", lambda: Masked()(torch.ones(2, 4)).sum().backward())
    assert traced(path, network_target(Masked(), input="4")).profile.notes == ()


def test_a_frozen_network_has_no_normalisation(tmp_path: Path) -> None:
    frozen = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))  # fmt: skip

    def run() -> None:
        with torch.no_grad(), record_function("forward"):
            frozen(torch.ones(2, 3, 8, 8))

    path = recorded(tmp_path / "a.json", run)
    found = traced(path, network_target(network, input="3x8x8"))
    assert credited(found, "aten::conv2d") == {"0", "3"}
    assert credited(found, "aten::relu") == {"2"}
    assert found.profile.notes == (FOLDED,)
    with pytest.raises(ArchscopeError, match=r"operator 2 \(1\): .* has conv2d"):
        traced(rewritten(path, lambda events: [e for e in events if e.get("name") != "forward"]),
               network_target(network, input="3x8x8"))  # fmt: skip


@pytest.mark.parametrize(
    ("traced_as", "told"),
    [
        (nn.ReLU(), None),
        # Operators of the network that was counted: linear, relu, linear.
        (nn.GELU(), r"1 operator .* the first: operator 2 \(1\): the trace has gelu, .* relu\."),
        (nn.Identity(), r"1 operator .*: operator 2 \(1\): the trace has nothing, .* relu\."),
        (
            nn.Sequential(nn.ReLU(), nn.Tanh()),
            r": behind operator 2 \(1\): the trace has tanh, Sequential has nothing\.",
        ),
    ],
)
def test_operators_without_weights_that_differ_are_named(
    tmp_path: Path, traced_as: nn.Module, told: str | None
) -> None:
    path = tmp_path / "a.json"
    ran = nn.Sequential(nn.Linear(4, 8), traced_as, nn.Linear(8, 4))
    recorded = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with recorded as profiler:
        ran(torch.ones(3, 4)).sum().backward()
    profiler.export_chrome_trace(str(path))
    named = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    notes = traced(str(path), network_target(named, input="4")).profile.notes
    if told is None:
        assert notes == ()
    else:
        (note,) = notes
        assert re.search(told, note)


def test_another_length_of_text_is_refused_with_the_one_that_was_traced(tmp_path: Path) -> None:
    path, network = tmp_path / "a.json", nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4))
    recorded = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with torch.no_grad(), recorded as profiler:
        network(torch.ones(2, 5, dtype=torch.int64))
    profiler.export_chrome_trace(str(path))
    with pytest.raises(ArchscopeError, match=r"the trace has .*5:int64.* and .*2"):
        traced(str(path), network_target(network, input="7:int64"))
    assert traced(str(path), network_target(network, input="5:int64")).profile.input.batch == 2
