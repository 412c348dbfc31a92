"""Signal propagation: the laws of initialisation, and the published curves."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from archscope import archive
from archscope.ask.signal import signal
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.measure.signal import statistics
from archscope.records import InputSpec, NetworkSignal, SignalPoint, SignalPropagation, TensorSpec
from archscope.study.signal import shown, signal_charts, signal_report

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "references" / "signal_propagation.json").read_text()
)["expectations"]
WIDTH = 512


def plain(depth, init):
    """Linear layers and ReLUs; the input's mean square is 1."""
    layers = []
    for _ in range(depth):
        linear = nn.Linear(WIDTH, WIDTH, bias=False)
        init(linear.weight)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


def he(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def pytorch_default(weight):
    nn.init.kaiming_uniform_(weight, a=5**0.5)


def activations(network, batch=64, spec=str(WIDTH)):
    (found,) = signal([target(network, input=spec, batch=batch)]).networks
    return [point for point in found.points if point.role == "activation"]


@pytest.mark.parametrize(
    ("init", "law"),
    [
        (he, "he_normal_theory"),
        (pytorch_default, "pytorch_default_theory"),
        (nn.init.xavier_normal_, "xavier_theory"),
    ],
)
def test_each_layer_of_a_plain_stack_multiplies_the_mean_square(init, law):
    torch.manual_seed(1)
    squares = [point.mean_square for point in activations(plain(10, init))]
    ratio = (squares[-1] / squares[0]) ** (1 / 9)
    assert ratio == pytest.approx(REFERENCE[0][law], rel=0.06)


class PreActivation(nn.Module):
    def __init__(self, normalised):
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH) if normalised else nn.Identity()
        self.first, self.second = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        he(self.first.weight)
        he(self.second.weight)

    def forward(self, x):
        return x + self.second(self.first(self.norm(x).relu()).relu())


def told(*variances, roles=None):
    """The first line of a network whose activations have these variances."""
    roles = roles or ("activation",) * len(variances)
    points = tuple(
        SignalPoint(f"act{i}", "ReLU", 0, i, role, 1.0, variance, 0.0)
        for i, (variance, role) in enumerate(zip(variances, roles, strict=True))
    )
    network = NetworkSignal("net", InputSpec((TensorSpec((8, 4)),)), points)
    return signal_report(SignalPropagation((network,))).answer


@pytest.mark.parametrize(
    ("variances", "sentence"),
    [
        ((0.3, 0.5, 0.4), "stays within a factor of 2, from 0.300 at act0 to 0.400 at act2."),
        ((0.25, 1.0), "grows 4.00 times, from 0.250 at act0 to 1.00 at act1."),
        ((0.5, 5e-4), "shrinks 1,000 times, from 0.500 at act0 to 0.000500 at act1."),
        (
            (0.5, 5e-9),
            "shrinks more than a million times, from 0.500 at act0 to less than 0.000001",
        ),
        ((0.3, 30.0, 0.4), "to 0.400 at act2, with 30.0 at act1 on the way."),
    ],
)
def test_the_first_line_is_about_the_activations(variances, sentence):
    assert sentence in told(*variances)
    classifier = told(*variances, 1e-9, roles=("activation",) * len(variances) + ("weight",))
    assert classifier == told(*variances), "a classifier's outputs are no propagation"


def blocks(normalised):
    torch.manual_seed(2)
    network = nn.Sequential(*(PreActivation(normalised) for _ in range(8)))
    (found,) = signal([target(network, input=str(WIDTH), batch=128)]).networks
    return [point.mean_square for point in found.points if point.role == "block"]


def test_residual_blocks_without_normalisation_double_the_mean_square():
    squares = blocks(normalised=False)
    ratio = (squares[-1] / squares[0]) ** (1 / 7)
    assert ratio == pytest.approx(REFERENCE[1]["measured_16_blocks_factor"], rel=0.06)


def test_with_normalisation_it_grows_by_one_a_block():
    expected = REFERENCE[2]["measured"][:8]
    assert blocks(normalised=True) == pytest.approx(expected, rel=0.12)


def test_resnet50_resets_at_each_stage_and_then_grows():
    (found,) = signal([target("resnet50", input="3x96x96", batch=4)]).networks
    variances = [point.variance for point in found.points if point.role == "block"]
    assert variances == pytest.approx(REFERENCE[3]["resnet50_var"], rel=0.08)


def test_mean_square_is_variance_plus_squared_mean():
    torch.manual_seed(3)
    for shape in ((8, 5), (4, 5, 6, 7), (4, 9, 5)):
        found = statistics(3 * torch.randn(shape) + 1)
        assert found.mean_square == pytest.approx(found.variance + found.squared_mean, rel=1e-5)


def test_channels_of_maps_and_of_tokens_are_told_apart():
    # Constant within a channel, so no variance, and the squares average to (1 + 4 + 9) / 3.
    maps = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    tokens = torch.tensor([1.0, 2.0, 3.0]).expand(2, 7, 3)
    for tensor in (maps, tokens):
        found = statistics(tensor)
        assert found.variance == pytest.approx(0)
        assert found.squared_mean == pytest.approx(14 / 3)


def test_gradient_norms_are_those_of_autograd():
    torch.manual_seed(4)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3))
    image = torch.randn(4, 6)
    (found,) = signal([target(network, input=image)]).networks
    points = {point.name: point for point in found.points}

    torch.manual_seed(0)  # as the pass draws its labels
    hidden = network[0](image)
    hidden.retain_grad()
    active = hidden.relu()
    active.retain_grad()
    scores = network[2](active)
    nn.functional.cross_entropy(scores, torch.randint(0, 3, (4,))).backward()
    for name in ("0", "2"):
        norm = network.get_submodule(name).weight.grad.norm().item()
        assert points[name].weight_gradient_norm == pytest.approx(norm, rel=1e-5)
    assert points["1"].input_gradient_norm == pytest.approx(hidden.grad.norm().item(), rel=1e-5)
    assert points["2"].input_gradient_norm == pytest.approx(active.grad.norm().item(), rel=1e-5)
    assert points["0"].input_gradient_norm is None  # the image needs no gradient


def test_the_network_is_handed_back_as_it_was():
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    signal([target(network, input="6", batch=4)])
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_depth_counts_weight_layers_and_blocks_are_the_smallest_that_hold_two():
    (found,) = signal([target("resnet18", input="3x32x32", batch=2)]).networks
    stem, *stages, last = shown(found)
    assert (stem.name, stem.depth) == ("relu", 1)
    assert [point.name for point in stages] == [
        f"layer{s}.{b}" for s in range(1, 5) for b in (0, 1)
    ]
    assert (last.name, last.depth) == ("fc", 1 + 16 + 3 + 1)


def test_several_networks_stand_side_by_side_and_come_back_from_their_file(tmp_path):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    record = signal([target(model, batch=2, input="1x28x28") for model in ("lenet", plain)])
    path = tmp_path / "signal.json"
    path.write_text(archive.dumps(record))
    assert signal([target(str(path))]) == record
    for chart in signal_charts(record):
        assert [series.name for series in chart.series] == ["lenet", "Sequential"]
    assert len(signal_report(record).tables) == 2


def test_what_went_in_and_what_was_differentiated_are_told():
    ids = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(0, 1), nn.Linear(4, 3))
    given = torch.randn(2, 1, 28, 28)
    for model, input, told in (
        ("lenet", None, "Input: standard normal. L: cross-entropy with random labels."),
        ("lenet", given, "Input: as given. L: cross-entropy with random labels."),
        (
            ids,
            "5:int64",
            "Input: random indices below 9 (seed 0). L: cross-entropy with random labels.",
        ),
        (nn.Conv2d(3, 4, 3), "3x8x8", "Input: standard normal. L: sum of all floating outputs."),
    ):
        (found,) = signal([target(model, input=input)]).networks
        (table,) = signal_report(SignalPropagation((found,))).tables
        assert told in table.notes


def test_charts_show_the_chosen_layers_one_a_depth_and_name_a_network_alone():
    record = signal([target("resnet18", input="3x32x32", batch=2)])
    for chart in signal_charts(record, "layer4*"):
        assert chart.title.endswith(" in resnet18 on 2×3×32×32")
        (line,) = chart.series
        # Two blocks of two convolutions and a projection, behind fifteen weight layers.
        assert line.x == (16, 17, 18, 19, 20)
    by_block = signal_charts(record, "layer4.?")
    assert [len(chart.series[0].x) for chart in by_block] == [2] * 5
    assert [chart.series[0].x for chart in signal_charts(record)][3] == tuple(range(1, 22))


def test_mistakes_are_one_line(tmp_path):
    record = signal([target("lenet", batch=2)])
    with pytest.raises(ArchscopeError, match=r"^layers='block"):
        signal_report(record, "block*")
    with pytest.raises(ArchscopeError, match="fails"):
        signal([target("resnet18", input="4x32x32", batch=1)])
    with pytest.raises(ArchscopeError, match="cannot train on one sample"):
        signal([target("resnet18", input="3x2x2", batch=1)])
    with pytest.raises(ArchscopeError, match="no weights"):
        signal([target(nn.Linear(3, 3, device="meta"), input="3")])


def test_a_network_without_parameters_is_told_that_it_has_none():
    with pytest.raises(ArchscopeError, match="ReLU: has no parameters"):
        signal([target(nn.ReLU(), input="4")])


def test_tokens_are_drawn_at_random_within_the_smallest_table() -> None:
    network = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 2))
    (found,) = signal([target(network, batch=4, input="16:int64")]).networks
    assert "random indices below 50 (seed 0)" in found.notes[-1]
    assert found.points[0].variance > 0.1  # 64 tokens that are the same have none
