"""`nn.MultiheadAttention` as two linear layers: the same numbers, and Megatron's collectives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import archscope
from archscope.collectives.heads import Heads, UndividedCallError, split

WIDTH, TOKENS = 16, 6


class Encoder(nn.Module):
    """One block of PyTorch's own encoder."""

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH, bias=False)  # so that the block's input has a gradient
        self.layers = nn.ModuleList([
            nn.TransformerEncoderLayer(WIDTH, heads, 4 * WIDTH, dropout=0.0, batch_first=True)
        ])  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](self.stem(x))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_pytorch_s_own_does(batch_first, need_weights, bias):
    torch.manual_seed(0)
    whole = nn.MultiheadAttention(WIDTH, 4, bias=bias, batch_first=batch_first).eval()
    x = torch.randn(*((3, TOKENS) if batch_first else (TOKENS, 3)), WIDTH)
    lengths = torch.tensor([TOKENS, 4, 1])  # each query sees the first key, which is never padding
    masks = {
        "attn_mask": torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1),
        "key_padding_mask": torch.arange(TOKENS) >= lengths[:, None],
    }
    for more in ({}, masks):
        wanted = whole(x, x, x, need_weights=need_weights, **more)
        found = Heads(whole)(x, x, x, need_weights=need_weights, **more)
        torch.testing.assert_close(found[0], wanted[0])
        assert (found[1] is None) == (wanted[1] is None)
        if need_weights:
            torch.testing.assert_close(found[1], wanted[1])


@pytest.mark.parametrize("gpus", [2, 4])
def test_a_block_all_reduces_four_times_as_the_textbook_says(gpus):
    """Shoeybi et al. 2019, section 3: twice forward and twice backward, tokens · width each."""
    found = archscope.distribute(Encoder(), "tp", gpus, input=f"{TOKENS}x{WIDTH}").record
    size = 4 * TOKENS * WIDTH
    assert found.total("all_reduce", "forward") == found.total("all_reduce", "backward") == 2 * size
    assert all(not form.reasons for form in found.closed_forms)
    # Columns and their biases are shared out; biases of rows and normalisation are everywhere.
    divided = 3 * WIDTH * (WIDTH + 1) + WIDTH**2 + 4 * WIDTH * (WIDTH + 1) + 4 * WIDTH**2
    assert found.memory[1].parameters == 4 * (divided // gpus + 2 * WIDTH + 4 * WIDTH + WIDTH**2)


def test_heads_that_the_gpus_cannot_share_stay_undivided():
    """Two heads of 8 on four GPUs: the perceptron alone is divided."""
    found = archscope.distribute(Encoder(heads=2), "tp", 4, input=f"{TOKENS}x{WIDTH}").record
    assert found.total("all_reduce", "forward") == 4 * TOKENS * WIDTH
    assert any("Attention stays undivided" in note for note in found.notes)


def test_attention_to_another_sequence_stays_as_it_is():
    decoder = nn.ModuleList([nn.TransformerDecoderLayer(WIDTH, 4, batch_first=True)])
    split(decoder)
    assert isinstance(decoder[0].self_attn, Heads)
    assert isinstance(decoder[0].multihead_attn, nn.MultiheadAttention)
    x, y = torch.randn(1, 3, WIDTH), torch.randn(1, 4, WIDTH)
    with pytest.raises(UndividedCallError, match="another sequence"):
        decoder[0].self_attn(x, y, y)


class Crossed(nn.Module):
    """Attention whose keys are made of its queries, which its name does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x, mask=None):
        keys = x if mask is not None else x.flip(1)
        x = x + self.attn(x, keys, keys, attn_mask=mask)[0]
        return x + self.down(self.up(x).relu())


@pytest.mark.parametrize(
    ("masks", "why"),
    [((), "keys of another sequence"), ((torch.zeros(4, TOKENS, TOKENS),), "a mask for each head")],
)
def test_a_call_that_is_not_divided_is_named(masks, why):
    """The perceptron alone is divided: one all-reduce each way."""
    x = torch.randn(1, TOKENS, WIDTH)
    found = archscope.distribute(Crossed(), "tp", 2, input=(x, *masks)).record
    assert found.total("all_reduce", "forward") == 4 * TOKENS * WIDTH
    assert (
        sum(f": nn.MultiheadAttention is called with {why}." in note for note in found.notes) == 1
    )
