"""Fused queries, keys and values divided by heads: the same numbers, and Megatron's collectives."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope
from archscope.collectives import head_counts
from archscope.collectives.styles import styles_of
from archscope.collectives.transposed import write_linear

WIDTH, TOKENS, HEAD = 16, 6, 4


class Conv1D(nn.Module):
    """A linear layer with its weight transposed, as that of transformers."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.randn(nf))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(0, -2) @ self.weight + self.bias).view(*x.shape[:-1], self.nf)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    sides = (side.unflatten(-1, (-1, HEAD)).transpose(-3, -2) for side in (q, k, v))
    return F.scaled_dot_product_attention(*sides, is_causal=True).transpose(-3, -2).flatten(-2)


class Sliced(nn.Module):
    """Attention as in GPT-2: all queries, all keys, all values."""

    def __init__(self) -> None:
        super().__init__()
        self.split_size = WIDTH
        self.c_attn, self.c_proj = Conv1D(3 * WIDTH, WIDTH), Conv1D(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(attend(*self.c_attn(x).split(self.split_size, dim=-1)))


class ByHead(nn.Module):
    """Attention as in Bloom: queries, keys and values of one head beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = WIDTH // HEAD
        self.query_key_value, self.dense = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        sides = self.query_key_value(x).view(*x.shape[:-1], self.num_heads, 3, HEAD)
        return self.dense(attend(*(side.flatten(-2) for side in sides.unbind(-2))))


class Configured(nn.Module):
    """Attention as in Phi-3: sliced by numbers of its configuration, with fewer keys."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {})()
        self.config.num_attention_heads, self.config.num_key_value_heads = 4, 2
        self.qkv_proj, self.o_proj = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        queries = HEAD * self.config.num_attention_heads
        keys = HEAD * self.config.num_key_value_heads
        q, k, v = self.qkv_proj(x).split([queries, keys, keys], -1)
        times = queries // keys
        k, v = (
            s.unflatten(-1, (-1, HEAD)).repeat_interleave(times, -2).flatten(-2) for s in (k, v)
        )
        return self.o_proj(attend(q, k, v))


class Gated(nn.Module):
    """A perceptron as in Phi-3: gate and what it opens in one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj, self.down_proj = nn.Linear(WIDTH, 64), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


def rows(sizes: list[int], gpu: int, gpus: int) -> Tensor:
    """Which rows of a fused layer a GPU has: its share of each of the layers that were fused."""
    return torch.cat([part.chunk(gpus)[gpu] for part in torch.arange(sum(sizes)).split(sizes)])


def narrow(layer: nn.Linear, outputs: Tensor, inputs: Tensor) -> nn.Linear:
    """One with some of the outputs and inputs of another."""
    own = nn.Linear(len(inputs), len(outputs))
    own.weight = nn.Parameter(layer.weight[outputs][:, inputs])
    own.bias = nn.Parameter(layer.bias[outputs])
    return own


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (Sliced, [WIDTH, WIDTH, WIDTH]),
        (ByHead, [3 * WIDTH]),
        (Configured, [WIDTH, WIDTH // 2, WIDTH // 2]),
        (Gated, [32, 32]),
    ],
)
def test_what_the_gpus_compute_adds_up_to_what_one_computes(kind, sizes):
    """Shoeybi et al. 2019, section 3: the sum over GPUs of what leaves their rows, bias once."""
    torch.manual_seed(0)
    whole = kind()
    x = torch.randn(2, TOKENS, WIDTH)
    wanted = whole(x)
    write_linear(whole)
    torch.testing.assert_close(whole(x), wanted)
    styles = styles_of(whole, ()).by_layer
    (columns,) = (name for name, style in styles.items() if style == "colwise")
    (last,) = (name for name, style in styles.items() if style == "rowwise")
    parts = []
    for gpu in range(2):
        part = deepcopy(whole)
        first, behind = getattr(part, columns), getattr(part, last)
        every = torch.arange(behind.in_features).chunk(2)[gpu]
        setattr(part, columns, narrow(first, rows(sizes, gpu, 2), torch.arange(WIDTH)))
        setattr(part, last, narrow(behind, torch.arange(WIDTH), every))
        head_counts.share(part, styles, 2)
        parts.append(part(x))
    torch.testing.assert_close(parts[0] + parts[1] - getattr(whole, last).bias, wanted)


class Blocks(nn.Module):
    """A layer before attention, so that what enters it has a gradient."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.stem, self.attention = nn.Linear(WIDTH, WIDTH, bias=False), kind()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.stem(x))


@pytest.mark.parametrize(("kind", "sides"), [(Sliced, 3), (ByHead, 3), (Configured, 2), (Gated, 4)])
def test_a_fused_pair_all_reduces_once_in_each_pass(kind, sides):
    found = archscope.distribute(Blocks(kind), "tp", 2, input=f"{TOKENS}x{WIDTH}").record
    assert {row.kind for row in found.step} == {"all_reduce"}
    size = 4 * TOKENS * WIDTH
    assert found.total("all_reduce", "forward") == found.total("all_reduce", "backward") == size
    # Columns and their biases are shared out, and rows; the biases of rows and the stem are not.
    behind = WIDTH * (32 if kind is Gated else WIDTH)
    divided = sides * WIDTH * (WIDTH + 1) + behind
    assert found.memory[1].parameters == 4 * (divided // 2 + WIDTH + WIDTH**2)


def test_the_network_of_the_user_keeps_its_counts():
    network = Blocks(Configured)
    archscope.distribute(network, "tp", 2, input=f"{TOKENS}x{WIDTH}")
    assert network.attention.config.num_attention_heads == 4


def test_a_plan_that_gathers_fused_layers_is_divided_as_megatron_stores_them():
    network = Blocks(Gated)
    network.config = type("Config", (), {})()
    network.config.base_model_tp_plan = {
        "attention.gate_up_proj": "colwise_gather_output",
        "attention.down_proj": "rowwise_split_input",
        "stem": "colwise_gather_output",
    }
    found = styles_of(network, ())
    assert found.by_layer == {
        "attention.gate_up_proj": "colwise", "attention.down_proj": "rowwise",
    }  # fmt: skip
    assert "gate_up_proj (colwise_gather_output), down_proj (rowwise_split" in " ".join(found.notes)
    assert "no such style: stem (colwise_gather_output)" in " ".join(found.notes)
