"""Network in Network: the published CIFAR widths by arithmetic, and its smallest inputs."""

from __future__ import annotations

import pytest
import torch

from archscope import zoo


def test_the_cifar_network_layer_by_layer(weightless, steps):
    convs = (
        *((3, 192, 5, 32), (192, 160, 1, 32), (160, 96, 1, 32)),
        *((96, 192, 5, 16), (192, 192, 1, 16), (192, 192, 1, 16)),
        *((192, 192, 3, 8), (192, 192, 1, 8), (192, 10, 1, 8)),
    )
    network = weightless("nin")
    expected_params = sum((before * k * k + 1) * after for before, after, k, _ in convs)
    assert sum(p.numel() for p in network.parameters()) == expected_params
    measured = [step[4] for step in steps(network, (3, 32, 32)) if step[4]]
    assert measured == [before * k * k * after * s * s for before, after, k, s in convs]


@pytest.mark.parametrize(("name", "least"), [("nin", 4), ("nin_imagenet", 39), ("nin_d2l", 67)])
def test_the_smallest_input_is_the_one_that_the_message_names(name, least):
    channels = 1 if name == "nin_d2l" else 3
    network = zoo.build(name, image_size=least).eval()
    assert network(torch.randn(1, channels, least, least)).isfinite().all()
    with pytest.raises(ValueError, match=rf"^input {least - 1}x{least}: must be at least {least}x"):
        network(torch.randn(1, channels, least - 1, least))
    with pytest.raises(
        ValueError, match=rf"^image_size={least - 1}: must be at least {least} here"
    ):
        zoo.build(name, image_size=least - 1)


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^layout=mnist: must be one of cifar, imagenet, d2l$"):
        zoo.build("nin", layout="mnist")
    with pytest.raises(ValueError, match=r"^widths=\(8, 8\): must be three numbers of channels$"):
        zoo.build("nin_block", widths=(8, 8))
    with pytest.raises(ValueError, match=r"^image_size=10: must be at least 11 here$"):
        zoo.build("nin_block", image_size=10)
