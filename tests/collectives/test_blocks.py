"""Which modules are a network's blocks."""

import pytest
import torch
import torchvision
from torch import nn

from archscope.collectives.blocks import blocks


def stages(*lengths):
    return [f"layer{i + 1}.{j}" for i, length in enumerate(lengths) for j in range(length)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", stages(3, 4, 6, 3)),  # He et al. 2016, table 1
        ("vit_b_16", [f"encoder.layers.encoder_layer_{i}" for i in range(12)]),
        ("alexnet", []),
    ],
)
def test_repeated_modules_are_blocks(name, expected):
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    assert blocks(network) == expected


def test_a_class_that_repeats_somewhere_is_a_block_everywhere():
    network = nn.Transformer(8, 2, 2, 1, batch_first=True)
    assert blocks(network) == ["encoder.layers.0", "encoder.layers.1", "decoder.layers.0"]


def test_a_network_may_name_its_blocks():
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2)))
    assert blocks(network) == []
    network._no_split_modules = ["Linear"]
    assert blocks(network) == ["0.0", "1.0"]
