"""GoogLeNet against Table 1 of Szegedy et al. 2015."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from archscope import zoo

TABLE = Path(__file__).parent.parent / "references/googlenet_table1.csv"
IMAGE = (3, 224, 224)


def test_the_whole_network(papers, weightless, params, macs):
    network = weightless("googlenet_2015")
    assert params(network) == papers["googlenet"]["exact_total_with_bias_5x5"]
    assert macs(network, IMAGE) == papers["googlenet"]["exact_macs"]


def test_table_1_row_by_row(weightless, steps):
    network = weightless("googlenet_2015")
    done = list(steps(network, IMAGE))
    rows = list(csv.DictReader(TABLE.read_text().splitlines()))
    assert len(rows) == 12
    parts = {"conv1": "stage1.", "conv2": "stage2.", "linear": "fc"}
    for row in rows:
        part = parts.get(row["layer"], f"inception{row['layer']}.")
        tensors = [p for name, p in network.named_parameters() if part in name]
        weights = sum(p.numel() for p in tensors if p.dim() > 1)
        assert weights == int(row["exact_weights_no_bias"]), row["layer"]
        assert sum(p.numel() for p in tensors) == int(row["weights_plus_bias"])
        assert sum(step[4] for step in done if part in step[0]) == int(row["exact_macs"])


def test_the_sizes_of_table_1(weightless, steps):
    shapes = {step[0]: step[3] for step in steps(weightless("googlenet_2015"), IMAGE)}
    expected = {
        "stage1.conv1": (64, 112),
        "stage1": (64, 56),
        "stage2": (192, 28),
        "stage3.inception3a": (256, 28),
        "stage3": (480, 14),
        "stage4.inception4e": (832, 14),
        "stage4.inception4a": (512, 14),
        "stage4.pool4": (832, 7),
        "stage5.avgpool": (1024, 1),
    }
    for name, (channels, size) in expected.items():
        assert shapes[name] == (1, channels, size, size), name


def test_the_auxiliary_heads_sit_on_4a_and_4d(weightless, params, steps):
    network = weightless("googlenet_2015_auxiliary")
    for channels, name in ((512, "inception4a"), (528, "inception4d")):
        # 1×1 to 128 maps of 4×4, 1024 features, 1000 classes (section 5)
        linear = (128 * 16 + 1) * 1024 + 1025 * 1000
        assert params(network.heads[name]) == (channels + 1) * 128 + linear
    shapes = {step[0]: step[3] for step in steps(network, IMAGE)}
    assert shapes["heads.inception4a.pool"] == (1, 512, 4, 4)
    outputs = network(torch.empty(2, 3, 224, 224, device="meta"))
    assert [tuple(output.shape) for output in outputs] == [(2, 1000)] * 3


@pytest.mark.parametrize(("name", "least"), [("googlenet_2015", 31), ("googlenet_d2l", 1)])
def test_the_smallest_input_is_the_one_that_the_message_names(name, least):
    keywords = {"image_size": least, "num_classes": 3}
    channels = 3 if name == "googlenet_2015" else 1
    network = zoo.build(name, **keywords).eval()
    assert network(torch.randn(1, channels, least, least)).shape == (1, 3)
    with pytest.raises(
        ValueError, match=rf"^image_size={least - 1}: must be at least {least}( here|$)"
    ):
        zoo.build(name, image_size=least - 1)
    if least > 1:
        with pytest.raises(ValueError, match=rf"^input 30x40: must be at least {least}x{least}"):
            network(torch.randn(1, channels, 30, 40))


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^image_size=78: must be at least 79 here$"):
        zoo.build("googlenet_2015_auxiliary", image_size=78)
    with pytest.raises(ValueError, match=r"^pool_padding=2: must be 0 or 1$"):
        zoo.build("googlenet_2015", pool_padding=2)
    with pytest.raises(ValueError, match=r"^input 224x200: this network is built for 224x224"):
        zoo.build("googlenet_2015_auxiliary")(torch.zeros(1, 3, 224, 200))
