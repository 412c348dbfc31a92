"""Plain and residual networks against the tables of He et al. 2016, and against torchvision's."""

from __future__ import annotations

import inspect

import pytest
import torch
from torchvision import models

from archscope import zoo
from archscope.zoo import resnet, resnet_cifar

IMAGE = (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "macs_row", "params_row"),
    [
        ("plain18", "plain18_or_optionA", "plain18"),
        ("plain34", "plain34_or_optionA", "plain34"),
        ("resnet18_a", "plain18_or_optionA", "plain18"),
        ("resnet34_a", "plain34_or_optionA", "plain34"),
        ("resnet50_v1", "50_v1_stride_in_1x1", "50"),
        ("resnet101_v1", "101_v1", "101"),
        ("resnet152_v1", "152_v1", "152"),
    ],
)
def test_imagenet_networks_cost_what_table_1_says(
    name, macs_row, params_row, papers, weightless, params, macs
):
    table = papers["resnet_table1"]
    network = weightless(name)
    assert params(network) == table["params"][params_row]
    assert macs(network, IMAGE) == table["exact_macs"][macs_row]


@pytest.mark.parametrize(("depth", "label"), [(18, "optionB"), (34, "optionB"), (50, "v1.5")])
def test_the_generic_row_reaches_torchvision_s_variant(
    depth, label, papers, weightless, params, macs
):
    table = papers["resnet_table1"]
    network = weightless("resnet", depth=depth, stride_in="3x3")
    assert params(network) == table["params"][str(depth)]
    assert macs(network, IMAGE) == table["exact_macs"][f"{depth}_{label}"]


@pytest.mark.parametrize("depth", [18, 50])
def test_with_torchvision_s_weights_the_outputs_are_torchvision_s(depth):
    theirs = models.get_model(f"resnet{depth}", num_classes=5).double().eval()
    ours = zoo.build("resnet", depth=depth, stride_in="3x3", num_classes=5).double().eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    torch.testing.assert_close(ours(image), theirs(image))


def test_cifar_networks_have_the_parameters_of_table_6(papers, weightless, params):
    rows = {key: row for key, row in papers["resnet_cifar_table6"].items() if key.isdigit()}
    assert sorted(rows) == sorted(["20", "32", "44", "56", "110", "1202"])
    for depth, (printed, exact) in rows.items():
        assert params(weightless(f"resnet{depth}_cifar")) == exact
        published = {key: value for key, value, _ in zoo.card(f"resnet{depth}_cifar").published}
        assert published["params"] == printed


def test_the_depth_is_the_number_of_weighted_layers(weightless, steps):
    """Table 1 and section 4.2 count convolutions and the classifier, not projections."""
    for name, depth in [("resnet34_a", 34), ("resnet152_v1", 152), ("resnet200", 200)]:
        layers = [step for step in steps(weightless(name), IMAGE) if step[4]]
        assert sum("downsample" not in layer[0] for layer in layers) == depth


def test_shortcut_a_pads_with_zeros_and_takes_every_second_pixel():
    block = zoo.build("basic_block", input_channels=2, width=3, stride=2, shortcut="A")
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    around = block.downsample(x)
    assert torch.equal(around[:, :2], x[:, :, ::2, ::2])
    assert not around[:, 2].any()


def test_a_plain_network_has_no_path_around_its_blocks(weightless):
    block = zoo.build("basic_block", shortcut="none").eval()
    torch.nn.init.zeros_(block.conv2.weight)
    assert not block(torch.randn(1, 64, 4, 4)).any()
    assert not [name for name, _ in weightless("plain34").named_parameters() if "down" in name]


@pytest.mark.parametrize("name", ["ZeroPadShortcut", "BasicBlock"])
def test_the_cifar_file_holds_a_copy_of_the_same_block(name):
    sources = [inspect.getsource(getattr(family, name)) for family in (resnet, resnet_cifar)]
    assert sources[0] == sources[1]


def test_an_unknown_depth_or_choice_names_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^depth=20: must be one of 18, 34, 50, 101, 152, 200$"):
        zoo.build("resnet", depth=20)
    with pytest.raises(ValueError, match=r"^depth=51: must be 6n \+ 2, such as 50$"):
        zoo.build("resnet_cifar", depth=51)
    with pytest.raises(ValueError, match=r"^shortcut=D: must be none, A, B or C$"):
        zoo.build("resnet_cifar", shortcut="D")
    with pytest.raises(ValueError, match=r"^stride_in=7x7: must be 1x1 or 3x3$"):
        zoo.build("resnet", stride_in="7x7")
    with pytest.raises(ValueError, match=r"^shortcut=A: cannot narrow 64 channels to 8"):
        zoo.build("basic_block", width=8, shortcut="A")
