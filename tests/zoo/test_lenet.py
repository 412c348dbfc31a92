"""LeNet and LeNet-5 against LeCun et al. 1998 and the course book."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from archscope import zoo


def test_the_course_network_has_the_printed_parameters_per_layer(params):
    network = zoo.build("lenet")
    sizes = [params(layer) for layer in network if params(layer)]
    assert sizes == [156, 2416, 48120, 10164, 850]


@pytest.mark.parametrize(("name", "expected"), [("lenet5", 61706), ("lenet_bn", 61370)])
def test_variants_have_the_printed_parameters(name, expected, params):
    assert params(zoo.build(name)) == expected


def test_lenet5_has_60000_parameters_and_340908_connections(papers, steps, params):
    published = papers["lenet5_lecun1998"]
    network = zoo.build("lenet5_1998").eval()
    assert params(network) == published["total_params"]
    shapes = {name: (read, out) for name, _, read, out, _ in steps(network, (1, 32, 32))}
    positions = {name: math.prod(out[2:]) for name, (_, out) in shapes.items()}
    layers = {"c1": "C1", "s2": "S2", "c3": "C3", "s4": "S4", "c5": "C5", "f6": "F6"}
    connections = 10 * 84
    for name, label in layers.items():
        own = params(network.get_submodule(name))
        # a shared weight is one connection per position; a subsampling unit reads four inputs
        count = own * positions[name] if name[0] != "s" else own // 2 * 5 * positions[name]
        assert [own, count] == published["layers"][label]
        connections += count
    assert connections == published["total_connections"]


def test_c3_reads_the_maps_of_the_published_table():
    from archscope.zoo.lenet import C3_TABLE

    assert [len(maps) for maps in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    readers = [sum(source in maps for maps in C3_TABLE) for source in range(6)]
    assert readers == [10] * 6  # each S2 map is read ten times
    network = zoo.build("lenet5_1998").eval()
    image = torch.zeros(1, 6, 14, 14, requires_grad=True)
    network.c3(image)[0, 0].sum().backward()
    assert image.grad.abs().sum(dim=(0, 2, 3)).nonzero().flatten().tolist() == [0, 1, 2]


def test_the_output_units_are_ten_different_digits_at_zero_distance_from_themselves():
    output = zoo.build("lenet5_1998").output
    assert output.centers.shape == (10, 84)
    assert set(output.centers.flatten().tolist()) == {-1.0, 1.0}
    distance = output(output.centers)
    assert torch.equal(distance.diagonal(), torch.zeros(10))
    assert (distance + 1000 * torch.eye(10)).min() > 0


def test_subsampling_sums_each_patch():
    layer = zoo.build("lenet5_1998").s2
    nn.init.constant_(layer.weight, 0.5)
    nn.init.constant_(layer.bias, 1.0)
    assert torch.equal(layer(torch.ones(1, 6, 4, 4)), torch.full((1, 6, 2, 2), 3.0))


def test_an_unfitting_size_names_what_fits():
    with pytest.raises(ValueError, match=r"^image_size=10: must be at least 12 here"):
        zoo.build("lenet", image_size=10)
    with pytest.raises(ValueError, match=r"^image_size=15: must be at least 16 here"):
        zoo.build("lenet5", image_size=15)
    assert zoo.build("lenet", image_size=12)(torch.zeros(1, 1, 12, 12)).shape == (1, 10)
    with pytest.raises(ValueError, match=r"^input 32x32: this network is built for 28x28"):
        zoo.build("lenet")(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ValueError, match=r"^pool=sum: must be avg or max"):
        zoo.build("lenet", pool="sum")
