"""Layers line up by output stride, and every row adds up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.records import (
    Analysis,
    Environment,
    InputSpec,
    Layer,
    LayerTime,
    Profile,
    TensorSpec,
)
from archscope.study.stages import (
    ELSEWHERE,
    HEAD,
    NOT_RUN,
    Geometry,
    in_order,
    labels,
    stage_seconds,
    stages,
)

FAMILIES = ["resnet50", "densenet121", "vit_b_16", "efficientnet_b0", "googlenet", "lenet",
            "inception_v3", "fcn_resnet50", "maxvit_t"]  # fmt: skip
FIGURES = ["params", "trainable_params", "macs", "macs_backward", "elementwise", "bytes_read",
           "bytes_written", "activation_bytes", "buffers", "operators"]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stages_add_up_to_the_network(name: str) -> None:
    analysis = analyse(target(name))
    found = stages(analysis)
    assert sum(len(stage.layers) for stage in found) == len(analysis.calls)
    for figure in FIGURES:
        values = [getattr(stage.total, figure) for stage in found]
        assert sum(value or 0 for value in values) == (getattr(analysis.total, figure) or 0)


def test_an_image_without_height_has_no_resolution() -> None:
    found = stages(analyse(target(nn.ReLU(), input=torch.zeros(1, 3, 0, 8))))
    assert [stage.label for stage in found] == [HEAD]


def test_the_macs_of_resnet50_stand_at_the_resolution_where_they_are_done() -> None:
    """He et al. 2016, Table 1, worked out by hand for the stride in the 3×3 convolution."""

    def bottleneck(side: int, inputs: int, width: int) -> int:
        return side * side * (inputs * width + 9 * width * width + width * 4 * width)

    by_label = {stage.label: stage.total.macs for stage in stages(analyse(target("resnet50")))}
    stride_4 = (
        bottleneck(56, 64, 64) + 56 * 56 * 64 * 256 + 2 * bottleneck(56, 256, 64)
        + 56 * 56 * 256 * 128  # the first 1×1 of conv3_x is still done at 56×56
    )  # fmt: skip
    assert by_label["2"] == 112 * 112 * 7 * 7 * 3 * 64
    assert by_label["4"] == stride_4
    assert by_label[HEAD] == 2048 * 1000
    assert list(by_label) == ["2", "4", "8", "16", "32", HEAD]


def test_nesting_does_not_move_a_layer() -> None:
    """The same layers flat and in blocks are the same rows."""

    def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)

    flat = nn.Sequential(convolution(3, 8), nn.MaxPool2d(2), convolution(8, 16), nn.MaxPool2d(2))
    nested = nn.Sequential(
        nn.Sequential(convolution(3, 8), nn.MaxPool2d(2)),
        nn.Sequential(nn.Sequential(convolution(8, 16)), nn.MaxPool2d(2)),
    )
    rows = [
        {stage.label: stage.total for stage in stages(analyse(target(network, input="3x32x32")))}
        for network in (flat, nested)
    ]
    assert rows[0] == rows[1]
    assert list(rows[0]) == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("shape", "label"),
    [
        ((1, 64, 112, 112), "2"),
        ((1, 56, 56, 96), "4"),  # channels last
        ((1, 197, 768), "16"),  # 14×14 tokens and one of class
        ((197, 1, 768), "16"),  # length first
        ((1, 192, 35, 35), "8"),  # 6.4, nearest to 8
        ((1, 3, 448, 448), "1/2"),
        ((1, 2048, 1, 1), None),
        ((1, 1000), None),
        ((1, 16, 49, 128), None),  # windows
    ],
)
def test_the_stride_of_an_output(shape: tuple[int, ...], label: str | None) -> None:
    spec = InputSpec((TensorSpec((1, 3, 224, 224)),))
    geometry = Geometry(Analysis("net", spec, ()))
    assert geometry.label(Layer("x", "Layer", output_shapes=(shape,))) == label


def test_a_map_of_another_proportion_than_square_is_found_in_either_layout() -> None:
    geometry = Geometry(Analysis("net", InputSpec((TensorSpec((1, 3, 128, 256)),)), ()))
    first = Layer("x", "Layer", output_shapes=((1, 64, 32, 64),))
    last = Layer("x", "Layer", output_shapes=((1, 32, 64, 64),))
    assert geometry.label(first) == geometry.label(last) == "4"


def test_sequences_count_along_their_length() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.out = nn.Linear(16, 2)

        def forward(self, ids: Tensor) -> Tensor:
            out: Tensor = self.out(self.embed(ids).mean(1))
            return out

    found = {stage.label: stage for stage in stages(analyse(target(Tokens, input="ids=12:int64")))}
    assert [layer.kind for layer in found["1"].layers] == ["Embedding"]
    assert found[HEAD].total.macs == 32


def test_squeeze_and_excitation_belongs_to_its_block() -> None:
    analysis = analyse(target("efficientnet_b0"))
    where = {
        layer.name: label for layer, label in zip(analysis.calls, labels(analysis), strict=True)
    }
    assert where["features.1.0.block.1.fc1"] == where["features.1.0.block.0.0"] == "2"


def test_parameters_that_no_call_uses_have_a_row_of_their_own() -> None:
    found = {stage.label: stage.total.params for stage in stages(analyse(target("inception_v3")))}
    assert found[NOT_RUN] == sum(
        p.numel() for n, p in _inception().named_parameters() if n.startswith("AuxLogits")
    )


def _inception() -> nn.Module:
    from archscope.resolve import network

    return network("inception_v3").module


def test_projections_of_an_attention_belong_to_it() -> None:
    found = [stage.label for stage in stages(analyse(target("vit_b_16")))]
    assert found == ["16", HEAD]


def test_labels_are_in_order_of_resolution() -> None:
    mixed = [HEAD, "16", NOT_RUN, "1/2", "2", ELSEWHERE, "1"]
    assert in_order(mixed) == ["1/2", "1", "2", "16", HEAD, NOT_RUN, ELSEWHERE]


def test_measured_time_adds_up_with_what_no_layer_took() -> None:
    analysis = analyse(target("lenet"))
    times = (
        LayerTime("net.0", "Conv2d", 0, {"forward": 2e-3, "backward": 3e-3}),
        LayerTime("GPU idle / launch gap", "gap", 0, {"forward": 1e-3}),
        *(
            LayerTime(layer.name, layer.kind, layer.call, {"forward": 1e-3})
            for layer in analysis.calls
        ),
    )
    profile = Profile("lenet", analysis.input, Environment("cpu"), layers=times, analysis=analysis)
    by_phase = stage_seconds(profile)
    seconds = by_phase["forward"]
    assert sum(seconds.values()) == pytest.approx(sum(row.seconds["forward"] for row in times))
    assert seconds[ELSEWHERE] >= 1e-3
    assert by_phase.keys() == {"forward", "backward"}
