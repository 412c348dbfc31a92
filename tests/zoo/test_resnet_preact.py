"""Pre-activation networks against the post-activation ones and He et al. 2016 (1603.05027)."""

from __future__ import annotations

import pytest
import torch

from archscope import zoo


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_moving_activations_moves_no_multiply_accumulate(depth, papers, weightless, macs):
    """The convolutions are torchvision's; Table 1 of the first paper, stride in the 3×3."""
    expected = papers["resnet_table1"]["exact_macs"][f"{depth}_v1.5"]
    assert macs(weightless("resnet_preact", depth=depth), (3, 224, 224)) == expected


@pytest.mark.parametrize("depth", [164, 1001])
def test_cifar_networks_have_the_parameters_of_table_4(depth, weightless, params, steps):
    name = f"resnet{depth}_preact_cifar"
    network = weightless(name)
    norms = sum(params(part) for part in network.modules() if "Norm" in type(part).__name__)
    printed = f"{(params(network) - norms) / 1e6:.1f}M"  # the paper leaves out the norms
    assert ("params", printed, "Table 4") in zoo.card(name).published
    layers = [step[0] for step in steps(network, (3, 32, 32)) if step[4]]
    assert sum("downsample" not in layer for layer in layers) == depth


def test_the_shortcut_is_a_pure_identity():
    block = zoo.build("preact_block").eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(1, 256, 4, 4)
    assert torch.equal(block(x), x)


def test_a_projection_reads_the_activated_input():
    block = zoo.build("preact_block", stride=2).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(1, 256, 4, 4)
    torch.testing.assert_close(block(x), block.downsample(block.preact(x)))
    assert not torch.allclose(block(x), block.downsample(x))


def test_the_first_block_reads_what_the_stem_has_activated(weightless, steps):
    done = [step[0] for step in steps(weightless("resnet_preact"), (3, 64, 64))]
    assert "layer1.0.preact.bn1" not in done
    assert "layer1.1.preact.bn1" in done
    assert "layer2.0.preact.bn1" in done


def test_an_unknown_depth_names_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^depth=18: must be one of 50, 101, 152, 200$"):
        zoo.build("resnet_preact", depth=18)
    with pytest.raises(ValueError, match=r"^depth=108: must be 9n \+ 2, such as 110$"):
        zoo.build("resnet164_preact_cifar", depth=108)
