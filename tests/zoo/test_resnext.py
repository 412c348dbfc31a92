"""ResNeXt against Xie et al. 2017; its three forms are one function."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
import torch
from torchvision import models

from archscope import zoo
from archscope.zoo.resnext import transfer_weights

IMAGE = (3, 224, 224)
FORMS = ("split", "concat", "grouped")
TABLE = Path(__file__).parent.parent / "references/resnext_cardinality_resnet50.csv"
CARDINALITY = list(csv.DictReader(TABLE.read_text().splitlines()))


@pytest.mark.parametrize("row", CARDINALITY, ids=lambda row: f"{row['C']}x{row['d']}d")
def test_each_cardinality_of_table_2_as_a_whole_network(row, weightless, params, macs, steps):
    keywords = {"groups": int(row["C"]), "width_per_group": int(row["d"])}
    network = weightless("resnext", depth=int(row["depth"]), **keywords)
    assert params(network) == int(row["params"])
    assert macs(network, IMAGE) == int(row["conv_fc_macs"])
    grouped = [step for step in steps(network, IMAGE) if step[0].endswith("conv2")]
    assert sum(step[4] for step in grouped) == int(row["group_conv_macs"])
    widths = [step[3][1] for step in grouped if ".0.conv2" in step[0]]
    assert widths == [int(width) for width in row["bn_stage_widths"].split("/")]


def test_each_cardinality_of_table_2_as_a_block(papers, weightless, macs):
    table = papers["resnext"]["table2"]
    columns = (table["C"], table["d"], table["block_params"], table["block_macs_56x56"])
    for groups, width, expected_params, expected_macs in zip(*columns, strict=True):
        for form in FORMS:
            block = weightless("resnext_block", groups=groups, width_per_group=width, form=form)
            weights = [p.numel() for p in block.parameters() if p.dim() == 4]
            assert sum(weights) == expected_params
            assert macs(block, (256, 56, 56)) == expected_macs


def test_table_1_and_table_7(papers, weightless, params, macs):
    reference = papers["resnext"]
    network = weightless("resnext")
    assert params(network) == reference["table1"]["resnext50_32x4d"]["exact_params"]
    assert macs(network, IMAGE) == reference["table1"]["resnext50_32x4d"]["exact_macs"]
    for width, (printed, exact) in reference["cifar_resnext29"].items():
        name = f"resnext29_{width}_cifar"
        assert params(weightless(name)) == exact
        assert ("params", printed, "Table 7") in zoo.card(name).published


def test_the_forms_have_equal_parameters_and_macs():
    names = ("resnext", "resnext50_32x4d_concat", "resnext50_32x4d_split")
    assert len({(zoo.card(name).params, zoo.card(name).macs) for name in names}) == 1


def test_with_torchvision_s_weights_the_outputs_are_torchvision_s():
    theirs = models.resnext50_32x4d(num_classes=5).double().eval()
    ours = zoo.build("resnext", num_classes=5).double().eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    torch.testing.assert_close(ours(image), theirs(image))


def run(network: torch.nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and input gradients; the network learns nothing."""
    image = image.clone().requires_grad_()
    output = network(image)
    output.mul(
        torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    ).sum().backward()
    return output.detach(), image.grad


@pytest.mark.parametrize("norm_layer", ["batch", "instance", "none"])
@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMS, 2)))
def test_forms_are_one_function_in_double_precision(source, target, norm_layer):
    keywords = {"depth": 11, "groups": 4, "width_per_group": 3, "num_classes": 5}
    keywords["norm_layer"] = norm_layer
    first = zoo.build("resnext_cifar", form=source, **keywords).double()
    second = zoo.build("resnext_cifar", form=target, **keywords).double()
    image = torch.randn(4, 3, 12, 12, dtype=torch.float64)
    first(image)  # moves batch norm's running statistics, which have to come along
    transfer_weights(first, second)
    for mode in (True, False):
        for ours, theirs in zip(
            run(first.train(mode), image), run(second.train(mode), image), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert ours.abs().max() > 0


def test_a_transfer_there_and_back_changes_no_bit():
    first = zoo.build("resnext_block", groups=4)
    for form in ("split", "concat"):
        between = zoo.build("resnext_block", groups=4, form=form)
        back = zoo.build("resnext_block", groups=4)
        transfer_weights(first, between)
        transfer_weights(between, back)
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, back.state_dict()[name]), name


def test_a_transfer_between_different_networks_is_refused():
    with pytest.raises(ValueError, match=r"transfer_weights: .* another shape in the source"):
        transfer_weights(zoo.build("resnext_block"), zoo.build("resnext_block", groups=16))
    with pytest.raises(ValueError, match=r"transfer_weights: the source has no "):
        transfer_weights(zoo.build("resnext_block"), zoo.build("resnext_block", stride=2))


def test_forms_start_from_weights_of_one_scale():
    for layer in ("conv1", "conv2", "conv3"):
        spreads = []
        for form in FORMS:
            torch.manual_seed(0)
            block = zoo.build("resnext_block", form=form, groups=8, width_per_group=16)
            weights = [p.flatten() for n, p in block.named_parameters() if f"{layer}.w" in n]
            spreads.append(torch.cat(weights).std())
        assert max(spreads) / min(spreads) < 1.05


def test_bad_choices_name_the_admissible_ones():
    with pytest.raises(ValueError, match=r"^depth=51: must be one of 26, 50, 101, 152, 200$"):
        zoo.build("resnext", depth=51)
    with pytest.raises(ValueError, match=r"^depth=30: must be 9n \+ 2, such as 29$"):
        zoo.build("resnext_cifar", depth=30)
    with pytest.raises(ValueError, match=r"^form=d: must be grouped, concat or split$"):
        zoo.build("resnext_block", form="d")
    with pytest.raises(ValueError, match=r"^groups=0: must be at least 1$"):
        zoo.build("resnext", groups=0)
    with pytest.raises(ValueError, match=r"^norm_layer=layer: must be batch, instance or none in"):
        zoo.build("resnext_block", form="split", norm_layer="layer")
