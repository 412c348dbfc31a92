"""One meaning of a PATTERN, whichever command takes it."""

from __future__ import annotations

import pytest

from archscope.ask.count import analyse
from archscope.ask.receptive_field import receptive_fields
from archscope.ask.target import network_target, target
from archscope.errors import ArchscopeError
from archscope.patterns import matching, unmatched
from archscope.study.explain import explain_report
from archscope.study.receptive_field import fields_report


@pytest.mark.parametrize(
    ("pattern", "name", "kind", "chosen"),
    [
        ("layer4", "layer4", "Sequential", True),
        ("layer4", "layer4.1.conv2", "Conv2d", True),
        ("layer4", "layer40.conv", "Conv2d", False),
        ("layer4", "stem.layer4", "Conv2d", False),
        ("layer1.*.conv2", "layer1.0.conv2", "Conv2d", True),
        ("layer1.*.conv2", "layer1.0.conv2.weight", "", False),
        ("layer?", "layer4.1", "Bottleneck", False),
        ("Conv2d", "stem.conv", "Conv2d", True),
        ("Conv*", "stem.conv", "ConvTranspose2d", True),
        ("conv2d", "stem.conv", "Conv2d", False),
        ("*", "", "LeNet", True),
        ("fc[12]", "fc1", "Linear", True),
        ("", "", "LeNet", True),
        ("", "fc1", "Linear", False),
    ],
)
def test_what_a_pattern_chooses(pattern: str, name: str, kind: str, chosen: bool) -> None:
    assert matching(pattern, name, kind) is chosen


def test_nothing_chosen_names_what_is_near() -> None:
    known = ["", "layer1", "layer4"]
    assert "did you mean layer4, layer1?" in str(unmatched("x", "layer5", "net", known))
    assert "archscope summary lists its layers" in str(unmatched("x", "zzz", "net", ["layer1"]))


@pytest.mark.parametrize(
    ("pattern", "trainable", "names"),
    [
        # Two basic blocks of five layers and an addition each, and a projection of two layers.
        ("layer4", 8_393_728, 14),
        ("layer4.*.conv2", 2 * 512 * 512 * 9, 2),
        ("fc", 512 * 1000 + 1000, 1),
        ("Linear", 512 * 1000 + 1000, 1),
    ],
)
def test_every_command_takes_the_same_pattern(pattern: str, trainable: int, names: int) -> None:
    frozen = analyse(target("resnet18"), train_only=pattern)
    assert frozen.total.trainable_params == trainable
    layers = {layer.name for layer in frozen.layers if matching(pattern, layer.name, layer.kind)}
    assert len(layers) == names
    derivations = explain_report(analyse(target("resnet18")), [pattern]).derivations
    assert layers <= {item.title.split(" · ")[0].split(" (")[0] for item in derivations}
    with pytest.raises(ArchscopeError, match="no such layer"):
        explain_report(frozen, [f"{pattern}_"])


def test_receptive_fields_of_what_is_inside_a_module() -> None:
    (table,) = fields_report(receptive_fields(network_target("resnet18")), "layer4").tables
    assert {"layer4.0.conv1", "layer4.1.bn2"} <= set(table.column("name"))
    with pytest.raises(ArchscopeError, match="did you mean layer4"):
        fields_report(receptive_fields(network_target("resnet18")), "layer5")
