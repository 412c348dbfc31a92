"""Lazy modules have the sizes of the call in every question, and stay lazy for the user."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

import archscope


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)
    )


def test_a_step_and_a_prediction_are_those_of_the_modules_they_become():
    network = lazy()
    images = torch.zeros(2, 3, 8, 8)
    steps = [archscope.memory(net, images).record.peak_bytes for net in (network, plain())]
    assert steps[0] == steps[1]
    times = [archscope.predict(net, "3x8x8", device="t4").record for net in (network, plain())]
    assert times[0].seconds == times[1].seconds
    assert all(is_lazy(layer.weight) for layer in (network[0], network[1], network[3]))


def test_the_largest_batch_and_the_signal_of_a_lazy_network_are_found():
    network = lazy()
    found = [archscope.memory(net, "3x8x8", fit="1.5GiB").record for net in (network, plain())]
    assert found[0].input.batch == found[1].input.batch
    assert len(archscope.signal(network, input="3x8x8").record.networks) == 1
    assert is_lazy(network[0].weight)
