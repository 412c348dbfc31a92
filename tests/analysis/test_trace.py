"""Multiply-accumulates forward and backward, and whose they are, against hand arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import archscope
from archscope.analysis import rules
from tests.networks import (
    Checkpointed,
    Functional,
    ManyInputs,
    SharedConvolution,
    TiedWeights,
)


def counted(network: nn.Module, x: Any, **options: Any) -> archscope.Summary:
    return archscope.summary(network, x, **{"backward": True, **options})


def needing_gradient(*shape: int) -> Tensor:
    return torch.zeros(shape, requires_grad=True)


@pytest.mark.parametrize("groups", [1, 2, 4, 8, 16, 32, 64])
def test_groups_divide_the_cost_forward_and_backward(groups: int) -> None:
    network = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    total = counted(network, needing_gradient(2, 64, 7, 7)).total
    assert total.macs == 2 * 64 * 49 * 64 // groups * 9
    assert total.macs_backward == 2 * total.macs


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own use
def test_forward_mode_derivatives_run_primitives_that_count_as_their_namesakes() -> None:
    class Derivative(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            _, tangent = torch.func.jvp(super().forward, (x,), (torch.ones_like(x),))
            return torch.as_tensor(tangent)

    found = archscope.summary(Derivative(8, 16), torch.zeros(2, 8))
    assert not found.coverage.unknown
    # the product itself, that with the input's tangent, and that with the weight's, which is 0
    assert found.total.macs == 3 * 2 * 8 * 16


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own use
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
def test_what_a_network_traces_itself_runs_as_it_would_with_values() -> None:
    class Linearized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 16, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            _, tangent = torch.func.linearize(self.inner, x)
            return torch.as_tensor(tangent(x) + tangent(2 * x))

    network, x = Linearized(), torch.ones(2, 8)
    # the product; its trace, that with the input's tangent and that with the weight's, which is 0;
    # of the trace, all but that with the input's tangent at the first call, and that one at each
    products = 1 + 3 + 2 + 2
    assert archscope.summary(network, x).total.macs == products * 2 * 8 * 16
    with FlopCounterMode(display=False) as flops:
        network(x)
    assert flops.get_total_flops() == 2 * products * 2 * 8 * 16


def product(*factors: int) -> int:
    return torch.Size(factors).numel()


CONVOLUTIONS = {
    "1-d, strided": (nn.Conv1d(4, 8, 3, stride=2), (2, 4, 9), product(2, 8, 4, 4, 3)),
    "dilated": (nn.Conv2d(4, 8, 3, dilation=2), (1, 4, 9, 9), product(8, 5, 5, 4, 9)),
    "depthwise": (nn.Conv2d(6, 6, 5, groups=6, padding=2), (1, 6, 7, 7), product(6, 49, 25)),
    "3-d": (nn.Conv3d(2, 3, (1, 2, 3)), (2, 2, 4, 5, 6), product(2, 3, 4, 4, 4, 2, 6)),
    "same": (nn.Conv2d(4, 4, 5, padding="same"), (1, 4, 6, 6), product(4, 36, 4, 25)),
    "circular": (
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        (1, 4, 6, 6),
        product(4, 36, 4, 9),
    ),
    "transposed": (
        nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1),
        (1, 8, 5, 7),
        product(5, 7, 8, 6, 16),
    ),
    "transposed, grouped": (
        nn.ConvTranspose2d(8, 6, 4, stride=2, groups=2),
        (1, 8, 5, 7),
        product(5, 7, 8, 3, 16),
    ),
    "transposed, 1-d": (
        nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1),
        (2, 4, 5),
        product(2, 5, 4, 3, 3),
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_costs_its_weights_at_every_position(name: str) -> None:
    network, shape, macs = CONVOLUTIONS[name]
    total = counted(network, needing_gradient(*shape)).total
    assert (total.macs, total.macs_backward) == (macs, 2 * macs)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 3, 4)])
def test_a_linear_layer_of_any_rank(leading: tuple[int, ...]) -> None:
    total = counted(nn.Linear(5, 7), needing_gradient(*leading, 5)).total
    macs = product(*leading, 5, 7)
    assert (total.macs, total.macs_backward) == (macs, 2 * macs)


def test_matrix_products_of_any_rank() -> None:
    class Products(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x @ x.transpose(-1, -2)  # 2·3·4·5·4
            z = torch.bmm(y.flatten(0, 1), y.flatten(0, 1))  # 6·4·4·4
            return torch.einsum("bij,bj->bi", z, z[:, 0])  # 6·4·4

    total = counted(Products(), needing_gradient(2, 3, 4, 5)).total
    assert total.macs == 480 + 384 + 96
    assert total.macs_backward == 2 * total.macs


@pytest.mark.parametrize("train", [False, True])
def test_attention_in_every_mode(train: bool) -> None:
    # Four projections of 5 tokens, E = 8, and for 2 heads of 4: query·key and weights·value.
    tokens = needing_gradient(2, 5, 8)
    network = nn.MultiheadAttention(8, 2, batch_first=True)
    total = counted(network, (tokens, tokens, tokens), train=train).total
    assert total.macs == 4 * 2 * 5 * 8 * 8 + 2 * (2 * 2 * 5 * 5 * 4)
    assert total.params == sum(parameter.numel() for parameter in network.parameters())
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    whole = counted(layer, tokens, train=train).total
    assert whole.macs == total.macs + 2 * (2 * 5 * 8 * 16)
    assert whole.macs_backward == 2 * whole.macs


def test_scaled_dot_product_attention() -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, k)

    q, k = needing_gradient(2, 3, 6, 4), needing_gradient(2, 3, 7, 4)
    total = counted(Attention(), (q, k)).total
    assert (total.macs, total.macs_backward) == (2 * (2 * 3 * 6 * 7 * 4), 4 * (2 * 3 * 6 * 7 * 4))


RECURRENT = {"LSTM": (nn.LSTM, 4), "GRU": (nn.GRU, 3), "RNN": (nn.RNN, 1)}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("options", [{}, {"backward": True, "train": True}])
def test_recurrent_layers(name: str, options: dict[str, bool]) -> None:
    # Per step and direction each gate meets the input and the state (Hochreiter 1997; Cho 2014).
    build, gates = RECURRENT[name]
    network = build(5, 7, num_layers=2, bidirectional=True, batch_first=True)
    steps = 2 * 3
    first, second = gates * 7 * (5 + 7), gates * 7 * (14 + 7)
    summary = archscope.summary(network, torch.zeros(2, 3, 5), **options)
    assert summary.total.macs == steps * 2 * (first + second)
    assert summary.coverage.complete


def test_embedding_is_free_of_products() -> None:
    total = counted(nn.Embedding(10, 4), torch.zeros(2, 3, dtype=torch.long)).total
    assert (total.macs, total.macs_backward, total.params) == (0, 0, 40)


def test_functional_work_belongs_to_the_module_it_stands_in() -> None:
    (layer,) = counted(Functional(), torch.zeros(3, 5)).layers
    assert layer.kind == "Functional"
    assert layer.macs == 3 * 5 * 6 + 3 * 6 * 5 + 3 * 5 * 3
    assert layer.elementwise == 9
    assert layer.params == 30


def test_a_module_called_three_times_has_three_rows_and_counts_its_parameters_once() -> None:
    summary = counted(SharedConvolution(), needing_gradient(1, 4, 5, 5))
    convolutions = [layer for layer in summary.layers if layer.kind == "Conv2d"]
    assert [layer.call for layer in convolutions] == [0, 1, 2]
    assert [layer.params for layer in convolutions] == [148, 0, 0]
    assert [layer.shared_params for layer in convolutions] == [0, 148, 148]
    assert {layer.macs for layer in convolutions} == {4 * 25 * 4 * 9}
    assert {layer.macs_backward for layer in convolutions} == {2 * 4 * 25 * 4 * 9}


def test_tied_parameters_count_once() -> None:
    summary = counted(TiedWeights(), torch.zeros(2, 3, dtype=torch.long))
    embed, head = summary.layers
    assert (embed.params, head.params, head.shared_params) == (55, 0, 55)
    assert summary.total.params == 55
    assert (head.macs, head.macs_backward) == (2 * 3 * 55, 2 * 2 * 3 * 55)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_under_checkpointing_is_part_of_the_backward_pass(reentrant: bool) -> None:
    summary = counted(Checkpointed(reentrant), needing_gradient(2, 4))
    by_name = {layer.name: layer for layer in summary.layers}
    assert by_name["first"].macs_backward == 2 * 2 * 16
    # Again forward, then both gradients; the last product's result is not needed again.
    first, last = by_name["block.0"], by_name["block.2"]
    assert (first.macs, first.macs_backward) == (64, 3 * 64)
    assert last.macs_backward in (2 * 64, 3 * 64)
    assert [layer.name for layer in summary.layers].count("block.0") == 1


def test_a_frozen_layer_needs_no_weight_gradient_and_nothing_before_it_any() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    layers = counted(network, "4", train_only="1*").layers
    assert [layer.macs_backward for layer in layers] == [0, 16, 16]
    assert [layer.trainable_params for layer in layers] == [0, 20, 0]


def test_parameters_are_stored_in_the_bytes_of_their_type_once() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.single = nn.Linear(8, 4)  # 36 of 4 bytes
            self.tied = nn.Linear(8, 4, bias=False)
            self.tied.weight = self.single.weight
            self.short = nn.Linear(4, 2, dtype=torch.float16)  # 10 of 2 bytes
            self.idle = nn.Linear(3, 3, dtype=torch.float64)  # 12 of 8 bytes, not called

        def forward(self, x: Tensor) -> Tensor:
            return self.short((self.single(x) + self.tied(x)).half())

    summary = archscope.summary(Mixed(), "8")
    stored = {layer.name: layer.param_bytes for layer in summary.layers if layer.name}
    assert stored == {"single": 36 * 4, "tied": 0, "short": 10 * 2, "idle": 12 * 8}
    assert summary.total.param_bytes == 36 * 4 + 10 * 2 + 12 * 8


def test_the_first_layer_needs_no_input_gradient() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    assert [layer.macs_backward for layer in counted(network, "4").layers] == [16, 32]


def test_backward_figures_are_unknown_when_no_backward_pass_ran() -> None:
    summary = archscope.summary(nn.Linear(4, 4), "4")
    assert summary.total.macs_backward is None
    assert summary.layers[0].macs_backward is None


def test_any_call_and_any_output() -> None:
    ids, scale = torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3, 1)
    summary = counted(ManyInputs(), {"ids": ids, "scale": scale})
    assert [layer.kind for layer in summary.layers] == ["ManyInputs", "Embedding", "Linear"]
    assert summary.analysis.calls[0].output_shapes == ((2, 3, 2), (2, 3, 4))
    assert archscope.summary(ManyInputs(), (ids,)).total.macs == 2 * 3 * 4 * 2
    by_specification = archscope.summary(ManyInputs(), "ids=3:int64,scale=3x1", batch=2)
    assert by_specification.total.macs == summary.total.macs


def test_an_unknown_operator_makes_the_total_a_lower_bound() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.aten._test_autograd_multiple_dispatch(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.spectrum = Spectrum()

        def forward(self, x: Tensor) -> Tensor:
            return self.spectrum(self.fc(x))

    summary = archscope.summary(Net(), "4")
    assert list(summary.coverage.unknown) == ["aten::_test_autograd_multiple_dispatch"]
    assert summary.coverage.unknown_layers == ("spectrum",)
    assert "≥" in str(summary)
    try:
        archscope.register_formula("aten::_test_autograd_multiple_dispatch", lambda x, out: 7)
        assert archscope.summary(Net(), "4").total.macs == 16 + 7
    finally:
        rules.REGISTERED.clear()


def test_bytes_count_each_distinct_tensor_once_per_operator() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    total = archscope.summary(Square(), torch.zeros(2, 8)).total
    assert (total.bytes_read, total.bytes_written, total.activation_bytes) == (64, 64, 64)
    in_place = archscope.summary(nn.ReLU(inplace=True), torch.zeros(2, 8)).total
    assert (in_place.bytes_written, in_place.activation_bytes) == (64, 0)


class Table(nn.Module):
    """1000 rows of eight, looked up by six indices."""

    def __init__(self, look_up: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(1000, 8))
        self.look_up = look_up

    def forward(self, ids: Tensor) -> Tensor:
        return self.look_up(self.rows, ids)


TABLE = 1000 * 8 * 4
ROWS, INDICES = 6 * 8 * 4, 6 * 8


@pytest.mark.parametrize(
    ("network", "read"),
    [
        (nn.Embedding(1000, 8), ROWS + INDICES),
        (nn.EmbeddingBag(1000, 8, mode="sum"), ROWS + INDICES + 2 * 8),  # and offsets of two bags
        (Table(lambda rows, ids: rows[ids]), ROWS + INDICES),
        (Table(lambda rows, ids: rows.index_select(0, ids.flatten())), ROWS + INDICES),
        (Table(lambda rows, ids: rows.gather(0, ids.reshape(6, 1))), 6 * 4 + INDICES),
        (Table(lambda rows, ids: rows.take(ids)), 6 * 4 + INDICES),
    ],
    ids=["embedding", "bag", "index", "index_select", "gather", "take"],
)
def test_of_a_table_only_what_is_looked_up_is_read(network: nn.Module, read: int) -> None:
    total = counted(network, torch.zeros(2, 3, dtype=torch.long), backward=False).total
    assert total.bytes_read == read


def test_a_table_smaller_than_its_look_ups_is_read_once() -> None:
    total = counted(nn.Embedding(2, 8), torch.zeros(5, 3, dtype=torch.long), backward=False).total
    assert total.bytes_read == 2 * 8 * 4 + 15 * 8


def test_the_gradient_of_a_table_is_written_whole() -> None:
    """Of the six rows that are looked up, the gradients are read."""
    ids = torch.zeros(2, 3, dtype=torch.long)
    (layer,) = counted(nn.Embedding(1000, 8), ids).layers
    assert layer.backward is not None
    assert (layer.backward.bytes_read, layer.backward.bytes_written) == (ROWS + INDICES, TABLE)


class Positionwise(nn.Module):
    """PyTorch flattens the positions and unflattens the result, by a view that it hides."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ x.new_zeros(8, 5)


def test_a_view_that_its_schema_hides_creates_nothing() -> None:
    """The zeros, 8·5 elements, and the product, 2·3·5, each created once."""
    total = counted(Positionwise(), torch.zeros(2, 3, 8), backward=False).total
    assert total.activation_bytes == 4 * (8 * 5 + 2 * 3 * 5)
    view = archscope.summary(nn.Flatten(), torch.zeros(2, 2, 4)).total
    assert (view.bytes_read, view.bytes_written, view.operators) == (0, 0, 0)


ACTIVATIONS = [
    nn.CELU, nn.ELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.ReLU,
    nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU,
]  # fmt: skip
"""All of `torch.nn` that can work in place, with their defaults."""


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_an_activation_in_place_is_one_operation_an_element_too(kind: Any, training: bool) -> None:
    for layer in (kind(), kind(inplace=True)):
        summary = archscope.summary(layer.train(training), torch.zeros(2, 8))
        assert summary.coverage.complete
        assert summary.total.elementwise == 16


def test_an_operator_in_place_has_the_rule_of_the_other_form() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.clone().abs_().heaviside_(x).masked_fill_(x > 0, 1).mul_(2).tril_()

    summary = archscope.summary(InPlace(), torch.zeros(8, 8))
    assert summary.coverage.complete
    assert summary.total.elementwise == 5 * 64  # `clone` and `tril_` only copy


def test_parameters_of_a_module_that_never_runs_are_still_counted() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(2, 2), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    summary = archscope.summary(Spare(), "2")
    assert summary.total.params == 6 + 12
    (spare,) = [layer for layer in summary.layers if not layer.called]
    assert (spare.name, spare.params) == ("spare", 12)
