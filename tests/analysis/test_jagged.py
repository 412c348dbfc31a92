"""Jagged tensors: rows of 3 and 5 steps, counted as the 8 that they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import archscope

STEPS = 3 + 5


def jagged(*lengths: int, **options: bool) -> Tensor:
    rows = [torch.ones(length, 8) for length in lengths]
    return torch.nested.nested_tensor(rows, layout=torch.jagged, **options)


class Block(nn.Module):
    """Attention of 2 heads of width 4, as a transformer has it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, [2, 4]).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(attended.transpose(1, 2).flatten(-2))


def test_attention_of_each_sequence_counts_its_own_length() -> None:
    x = jagged(3, 5)
    counted = archscope.summary(Block(), (x,), backward=True)
    attention = 2 * 2 * 4 * (3 * 3 + 5 * 5)  # query·key and weights·value, of each head
    assert counted.total.macs == STEPS * 8 * (24 + 8) + attention
    assert counted.total.macs_backward == 2 * counted.total.macs  # both gradients of each product
    assert counted.analysis.executed_on == "meta"
    widths = {layer.name: layer.output_shapes for layer in counted.layers}
    assert (widths["qkv"], widths["out"]) == (((STEPS, 24),), ((STEPS, 8),))
    assert x.values().device.type == "cpu"


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.wide = nn.Linear(8, 8, bias=False), nn.Linear(8, 80, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.fc(x + y) if x.size(1) == y.size(1) and x.device == y.device else self.wide(x)


def test_tensors_of_the_same_lengths_stay_so() -> None:
    x = jagged(3, 5, requires_grad=True)
    counted = archscope.summary(Sum(), (x, x.detach() * 2), backward=True)
    assert counted.total.macs == STEPS * 8 * 8
    assert counted.total.macs_backward == 2 * STEPS * 8 * 8
    assert x.grad is None


class Asks(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.values().sum() > 0 else x


def test_a_value_of_a_jagged_tensor_is_taken_from_a_real_run() -> None:
    counted = archscope.summary(Asks(8, 8, bias=False), (jagged(3, 5),))
    assert (counted.total.macs, counted.analysis.executed_on) == (STEPS * 8 * 8, "cpu")


def test_the_memory_of_a_step_is_predicted() -> None:
    assert archscope.memory(Block(), (jagged(3, 5),), device="cpu").record.peak_bytes > 0


class Strided(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.nested.nested_tensor([x, x[:1]]))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_the_strided_layout_is_refused_where_it_is_met() -> None:
    with pytest.raises(archscope.ArchscopeError, match="Strided makes a nested tensor of the str"):
        archscope.summary(Strided(8, 8), (torch.ones(2, 8),))
    with pytest.raises(archscope.ArchscopeError, match="input 1: is a nested tensor of the strid"):
        archscope.summary(nn.Linear(8, 8), (torch.nested.nested_tensor([torch.ones(2, 8)]),))


def test_its_memory_its_signal_and_its_field_of_view() -> None:
    """Memory asks for a GPU's; PyTorch ended the interpreter where no driver was found."""
    x = jagged(3, 5)
    network = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    dense = archscope.memory(network, torch.ones(STEPS, 8), inference=True)
    assert (
        str(archscope.memory(network, (x,), inference=True)).splitlines()[0]
        == (str(dense).splitlines()[0])
    )
    assert "training" in str(archscope.memory(network, (x,)))
    assert str(archscope.signal(network, input=(x,))).startswith("Signal propagation")
    with pytest.raises(archscope.ArchscopeError, match="no input has a height or width"):
        archscope.receptive_field(network, (x,))


def test_padding_that_an_encoder_leaves_out_is_counted_and_said() -> None:
    """As PyTorch has it, an encoder goes on with a nested tensor where no gradient is wanted."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1).eval()
    padded = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    assert encoder.use_nested_tensor
    x = torch.ones(2, 5, 8)
    masked = {"src": x, "src_key_padding_mask": padded}
    said = archscope.summary(encoder, masked)
    assert "Padded steps are counted" in str(said)
    trained, dense = (
        archscope.summary(encoder, masked, backward=True),
        archscope.summary(encoder, x),
    )
    assert "Padded steps are counted" not in str(trained) + str(dense)
    assert said.total.macs == trained.total.macs == dense.total.macs
