"""VGG against Table 2 of Simonyan and Zisserman 2015, and against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from archscope import zoo


def test_every_column_of_table_1(papers, weightless, params):
    exact = papers["vgg_table2_Mparams"]["exact"]
    assert sorted(exact) == ["A", "B", "C", "D", "E"]
    for config, expected in exact.items():
        assert params(weightless("vgg", config=config)) == expected
        assert round(expected / 1e6) == papers["vgg_table2_Mparams"][config]
    assert params(weightless("vgg11_lrn")) == exact["A"]
    assert params(weightless("vgg16_c")) == exact["C"]


@pytest.mark.parametrize(("config", "row"), [("D", "vgg16"), ("E", "vgg19")])
def test_macs_are_those_that_the_resnet_paper_quotes(config, row, papers, weightless, macs):
    network = weightless("vgg", config=config)
    assert macs(network, (3, 224, 224)) == papers["resnet_table1"]["exact_macs"][row]


def test_column_c_ends_its_last_blocks_in_1x1_and_a_lrn_normalises_once(weightless):
    network = weightless("vgg16_c")
    kernels = [block.conv3.kernel_size for block in network if hasattr(block, "conv3")]
    assert kernels == [(1, 1)] * 3
    names = [name for name, _ in weightless("vgg11_lrn").named_modules() if "lrn" in name]
    assert names == ["block1.lrn1"]


def test_with_torchvision_s_weights_the_outputs_are_torchvision_s():
    ours = zoo.build("vgg", config="A", hidden=16, num_classes=5).eval()
    theirs = models.vgg11(num_classes=5).eval()
    theirs.classifier = torch.nn.Sequential(*list(ours)[6:])
    weights = zip(ours.parameters(), theirs.parameters(), strict=True)
    with torch.no_grad():
        for ours_parameter, theirs_parameter in weights:
            ours_parameter.copy_(theirs_parameter)
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours(image), theirs(image))


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^config=F: must be one of A, B, C, D, E$"):
        zoo.build("vgg", config="F")
    with pytest.raises(ValueError, match=r"^image_size=31: must be at least 32$"):
        zoo.build("vgg", image_size=31)
    with pytest.raises(ValueError, match=r"^last_kernel=5: must be 1 or 3$"):
        zoo.build("vgg_block", last_kernel=5)
    with pytest.raises(ValueError, match=r"^num_convs=0: must be at least 1$"):
        zoo.build("vgg_block", num_convs=0)
    network = zoo.build("vgg", image_size=32, width=2, hidden=4)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    with pytest.raises(ValueError, match=r"^input 64x64: this network is built for 32x32"):
        network(torch.zeros(1, 3, 64, 64))
