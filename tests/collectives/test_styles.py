"""What tensor parallelism leaves undivided is named."""

import pytest
from torch import nn

from archscope.collectives.styles import styles_of, undivided
from archscope.errors import NetworkError


class Conv1D(nn.Module):
    """As in GPT-2: a linear layer that is no nn.Linear."""

    def __init__(self, inside, outside):
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(outside, inside).weight.detach())


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)  # 288 + 264 parameters
        self.attention = nn.MultiheadAttention(8, 2)  # 192 + 24 + 64 + 8
        self.mixer = Conv1D(8, 20)  # 160
        self.tiny = nn.LayerNorm(4)  # 8 of 1,008


def test_layers_that_every_gpu_computes_are_named_with_their_share():
    found = styles_of(Mixed(), [])
    assert found.by_layer == {"up": "colwise", "down": "rowwise"}
    assert found.notes[-1] == (
        "Every GPU holds and computes all of MultiheadAttention (2 layers, 28.6 % of the "
        "parameters), Conv1D (1 layer, 15.9 % of the parameters)."
    )


def test_a_network_without_linear_layers_says_what_it_has():
    with pytest.raises(NetworkError, match=r"and this has Conv1D .2 layers, 100.0 % of the"):
        styles_of(nn.Sequential(Conv1D(4, 8), Conv1D(8, 4)), [])
    assert undivided(nn.Sequential(nn.Linear(4, 4)), {"0": "colwise"}) == ""


class Bert(nn.Module):
    """A layer with the names that BERT has in transformers."""

    def __init__(self):
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        for name in ("query", "key", "value"):
            setattr(self.attention.self, name, nn.Linear(8, 8))
        self.attention.output = self._output(8)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(8, 32)
        self.output = self._output(32)

    @staticmethod
    def _output(width):
        made = nn.Module()
        made.dense, made.LayerNorm = nn.Linear(width, 8), nn.LayerNorm(8)
        return made


def test_the_layers_of_bert_are_pairs():
    columns = {"attention.self.key", "attention.self.query", "attention.self.value"}
    found = styles_of(Bert(), ()).by_layer
    assert {name for name, style in found.items() if style == "colwise"} == columns | {
        "intermediate.dense"
    }
    assert {name for name, style in found.items() if style == "rowwise"} == {
        "attention.output.dense", "output.dense",
    }  # fmt: skip
