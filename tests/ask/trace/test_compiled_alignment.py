"""Traces of what torch.compile made: its graphs beside the layers of the network."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from archscope.ask.target import network_target
from archscope.ask.trace.profile import traced
from archscope.errors import ArchscopeError
from tests.ask.trace.recording import Residual, linear_layers


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
