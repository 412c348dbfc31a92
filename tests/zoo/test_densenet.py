"""DenseNet against the tables of Huang et al. 2017, and against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from archscope import zoo
from archscope.zoo.densenet import DenseBlock

IMAGE = (3, 224, 224)


@pytest.mark.parametrize("depth", [121, 169, 201, 264])
def test_imagenet_networks_of_table_1(depth, papers, weightless, params, macs, steps):
    reference = papers["densenet"]
    network = weightless("densenet", depth=depth)
    assert params(network) == reference["exact_params"][str(depth)]
    assert macs(network, IMAGE) == reference["exact_macs_224"][str(depth)]
    names = [step[0] for step in steps(network, (3, 32, 32)) if step[4]]
    # convolutions and the classifier; the blocks that Table 1 gives DenseNet-264 make 265
    assert len(names) == (265 if depth == 264 else depth)
    counts = [sum(f"block{i}." in name for name in names) // 2 for i in (1, 2, 3, 4)]
    assert counts == reference["blocks"][str(depth)]


def test_the_authors_161_is_a_setting_of_the_generic_row(papers, weightless, params, macs):
    network = weightless("densenet", depth=161, growth_rate=48)
    assert params(network) == papers["densenet"]["exact_params"]["161"]
    assert macs(network, IMAGE) == papers["densenet"]["exact_macs_224"]["161"]


def test_with_torchvision_s_weights_the_outputs_are_torchvision_s():
    theirs = models.densenet121(num_classes=5).double().eval()
    ours = zoo.build("densenet", num_classes=5).double().eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    torch.testing.assert_close(ours(image), theirs(image))


def test_cifar_networks_have_the_parameters_of_table_2(papers, weightless, params):
    names = {
        "L40k12": "densenet40_k12_cifar",
        "L100k12": "densenet100_k12_cifar",
        "L100k24": "densenet100_k24_cifar",
        "BC-L100k12": "densenet_bc100_k12_cifar",
        "BC-L250k24": "densenet_bc250_k24_cifar",
        "BC-L190k40": "densenet_bc190_k40_cifar",
    }
    assert set(names) == set(papers["densenet"]["cifar_params"])
    for label, (printed, exact) in papers["densenet"]["cifar_params"].items():
        assert params(weightless(names[label])) == exact
        assert ("params", printed, "Table 2") in zoo.card(names[label]).published


def test_the_depth_is_the_number_of_weighted_layers(weightless, steps):
    for name, depth in [("densenet40_k12_cifar", 40), ("densenet_bc100_k12_cifar", 100)]:
        assert sum(step[4] > 0 for step in steps(weightless(name), (3, 32, 32))) == depth


def test_a_block_and_its_transition_end_in_the_book_s_shapes():
    """Dive into Deep Learning, section 8.7: 3 + 2·10 = 23 channels, then 10 at half the size."""
    block = zoo.build("dense_block", num_convs=2, growth_rate=10)
    between = block(torch.randn(4, 3, 8, 8))
    assert between.shape == (4, 23, 8, 8)
    assert zoo.build("transition_block")(between).shape == (4, 10, 4, 4)


def test_a_block_keeps_its_input_and_appends():
    block = zoo.build("dense_block").eval()
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(block(x)[:, :3], x)


@pytest.mark.parametrize(("name", "least"), [("densenet", 29), ("densenet_cifar", 4)])
def test_the_smallest_input_is_the_one_that_the_message_names(name, least):
    keywords = {"growth_rate": 2} | ({"depth": 7} if name == "densenet_cifar" else {})
    network = zoo.build(name, image_size=least, **keywords).eval()
    assert network(torch.randn(1, 3, least, least)).isfinite().all()
    message = rf"^input {least}x{least - 1}: must be at least {least}x{least}"
    with pytest.raises(ValueError, match=message):
        network(torch.randn(1, 3, least, least - 1))
    with pytest.raises(ValueError, match=rf"^image_size={least - 1}: must be at least {least}$"):
        zoo.build(name, image_size=least - 1, **keywords)


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^depth=120: must be one of 121, 161, 169, 201, 264$"):
        zoo.build("densenet", depth=120)
    with pytest.raises(ValueError, match=r"^depth=41: must be 3n \+ 4, such as 40$"):
        zoo.build("densenet_cifar", depth=41)
    with pytest.raises(ValueError, match=r"^depth=43: must be 6n \+ 4, such as 40$"):
        zoo.build("densenet_cifar", depth=43, bottleneck=4)
    with pytest.raises(ValueError, match=r"^compression=0: must be above 0 and at most 1$"):
        zoo.build("densenet", compression=0)
    with pytest.raises(ValueError, match=r"^growth_rate=0: must be at least 1$"):
        zoo.build("dense_block", growth_rate=0)
    with pytest.raises(ValueError, match=r"^bottleneck=-1: must be 0 \(none\) or more$"):
        DenseBlock(bottleneck=-1)
