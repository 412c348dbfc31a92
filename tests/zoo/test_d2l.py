"""The one-channel networks of the course book: counts, and the shapes that its editions print."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from archscope import zoo

REFERENCES = Path(__file__).parent.parent / "references"
NETWORKS = json.loads((REFERENCES / "d2l_networks.json").read_text())
PRINTED = json.loads((REFERENCES / "d2l_printed_shapes.json").read_text())
NAMES = {
    "lenet": "lenet",
    "bn_lenet": "lenet_bn_d2l",
    "alexnet": "alexnet_d2l",
    "vgg11": "vgg11_d2l",
    "vgg11_quarter(train)": "vgg11_quarter_d2l",
    "nin": "nin_d2l",
    "googlenet": "googlenet_d2l",
    "resnet18": "resnet18_d2l",
    "densenet": "densenet_d2l",
}
EDITIONS = [(name, edition) for name, editions in PRINTED.items() for edition in editions]
TORCH_KINDS = {
    *("Conv2d", "Linear", "ReLU", "Sigmoid", "AvgPool2d", "MaxPool2d", "Flatten", "Dropout"),
    *("BatchNorm1d", "BatchNorm2d", "AdaptiveAvgPool2d"),
}


def kind(printed: str) -> str:
    """The kind of a printed layer, or nothing where the book prints a container or a name.

    The book pools averages at the end of its DenseNet, one printed run maxima: the same shapes.
    """
    printed = printed.replace("AdaptiveMaxPool2d", "AdaptiveAvgPool2d")
    return printed if printed in TORCH_KINDS else ""


def assert_occurs_in_order(printed, done):
    """Each printed line is the output of a layer that runs after that of the line before."""
    remaining = iter(done)
    for label, shape in printed:
        assert any(
            out == tuple(shape) and kind(label) in ("", type(layer).__name__)
            for _, layer, _, out, _ in remaining
        ), (label, shape)


def test_every_network_of_the_book_is_here():
    assert set(NAMES) == set(NETWORKS)


@pytest.mark.parametrize("book_name", NAMES)
def test_parameters_and_macs(book_name, weightless, params, steps):
    reference = NETWORKS[book_name]
    network = weightless(NAMES[book_name])
    assert params(network) == reference["params"]
    for key in ("print_img", "train_img"):
        size = reference[key]
        done = steps(network, (1, size, size))
        assert sum(step[4] for step in done) == reference[f"macs_at_{key}"]
    convolutions = sum(step[4] for step in done if type(step[1]).__name__ == "Conv2d")
    assert convolutions == reference["conv_macs_train"]
    assert sum(step[4] for step in done) - convolutions == reference["fc_macs_train"]


@pytest.mark.parametrize("book_name", NAMES)
def test_top_level_shapes(book_name, weightless, steps):
    reference = NETWORKS[book_name]
    size = reference["print_img"]
    done = steps(weightless(NAMES[book_name]), (1, size, size))
    assert_occurs_in_order(reference["toplevel_shapes"], done)


@pytest.mark.parametrize(("book_name", "edition"), EDITIONS)
def test_printed_shapes(book_name, edition, weightless, steps):
    printed = PRINTED[book_name][edition]
    first_stride = {"lenet": 28, "alexnet": 224, "vgg11": 224, "nin": 224}
    size = first_stride.get(book_name, 96)
    if book_name == "resnet18" and edition != "en":
        size = 224
    done = steps(weightless(NAMES[book_name]), (1, size, size))
    assert_occurs_in_order(printed, done)


def test_the_dense_network_layer_by_layer(weightless, steps, params):
    rows = list(csv.DictReader((REFERENCES / "d2l_densenet_layers.csv").read_text().splitlines()))
    network = weightless("densenet_d2l")
    leaves = [step for step in steps(network, (1, 96, 96)) if not list(step[1].children())]
    assert len(leaves) == len(rows)
    for row, (_, layer, read, out, macs) in zip(rows, leaves, strict=True):
        assert type(layer).__name__ == kind(row["type"])
        assert (str(read), str(out)) == (row["in_shape"], row["out_shape"])
        assert (params(layer), macs) == (int(row["params"]), int(row["macs"]))


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^growth_rate=0: must be at least 1$"):
        zoo.build("densenet_d2l", growth_rate=0)
    with pytest.raises(ValueError, match=r"^image_size=28: must be at least 29$"):
        zoo.build("densenet_d2l", image_size=28)
