"""AlexNet against Krizhevsky et al. 2012."""

from __future__ import annotations

import pytest
import torch

from archscope import zoo


def test_grouped_and_ungrouped_cost_what_was_published(papers, weightless, params, macs):
    reference = papers["alexnet"]
    grouped, ungrouped = weightless("alexnet_2012"), weightless("alexnet_2012_ungrouped")
    assert params(grouped) == reference["original_2group_params"]
    assert params(ungrouped) == reference["ungrouped_params"]
    assert macs(grouped, (3, 227, 227)) == reference["original_macs_227"]
    assert macs(ungrouped, (3, 227, 227)) == reference["ungrouped_macs_227"]


def test_the_feature_maps_are_those_of_figure_2(weightless, steps):
    shapes = {name: out for name, _, _, out, _ in steps(weightless("alexnet_2012"), (3, 227, 227))}
    kernels = {"conv1": (96, 55), "conv2": (256, 27), "conv3": (384, 13), "conv4": (384, 13)}
    for name, (channels, size) in (kernels | {"conv5": (256, 13), "pool5": (256, 6)}).items():
        assert shapes[name] == (1, channels, size, size)


def test_response_normalisation_is_the_paper_s():
    """B = a / (2 + 1e-4 Σ a²)^0.75 over five neighbouring maps (section 3.3)."""
    layer = zoo.build("alexnet_2012", hidden=8).lrn1
    a = torch.rand(1, 7, 1, 1, dtype=torch.float64) * 100
    expected = torch.stack(
        [
            a[:, i] / (2 + 1e-4 * a[:, max(0, i - 2) : i + 3].square().sum(1)) ** 0.75
            for i in range(7)
        ],
        dim=1,
    )
    torch.testing.assert_close(layer(a), expected)


def test_weights_start_as_section_5_says():
    network = zoo.build("alexnet_2012", hidden=64)
    assert abs(network.conv3.weight.std() - 0.01) < 2e-4
    ones = [name for name, p in network.named_parameters() if name.endswith("bias") and p.all()]
    assert ones == [f"{name}.bias" for name in ("conv2", "conv4", "conv5", "fc6", "fc7")]


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^groups=3: must divide 96, 256 and 384: 1, 2, 4, 8, 16"):
        zoo.build("alexnet_2012", groups=3)
    with pytest.raises(ValueError, match=r"^image_size=66: must be at least 67 here$"):
        zoo.build("alexnet_2012", image_size=66, hidden=8)
    with pytest.raises(ValueError, match=r"^init=he: must be normal or xavier$"):
        zoo.build("alexnet_2012", init="he", hidden=8)
    with pytest.raises(ValueError, match=r"^input 224x224: this network is built for 67x67"):
        zoo.build("alexnet_2012", image_size=67, hidden=8)(torch.zeros(1, 3, 224, 224))
