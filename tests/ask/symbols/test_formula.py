"""Formulas equal plain counts at every size they hold for, and say where that is."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.symbols.formula import formula
from archscope.ask.symbols.trial import Trial
from archscope.ask.target import network_target, target
from archscope.errors import ArchscopeError
from archscope.study.formula import formula_report, growth

EIGHT_SIZES = range(8)


def plain_count(model, values, channels=3):
    sides = "x".join(str(values[s]) for s in ("H", "W"))
    return analyse(target(model, input=f"{channels}x{sides}", batch=values["N"])).total


@pytest.fixture(scope="module")
def resnet50():
    return formula(network_target("resnet50"))


def test_resnet50_reduces_to_the_polynomial_worked_out_by_hand(resnet50) -> None:
    """9408 in the stem, 5091·16384 in all, 2048·1000 = 125·16384 in the classifier."""
    assert str(resnet50.reduced(resnet50.macs)) == "16384·N·(5091·h·w + 125)"
    assert resnet50.strides == {"H": 32, "W": 32}


def test_the_reduced_form_never_writes_a_symbol_by_itself() -> None:
    """`h = 32h` would say that h is 0."""
    found = formula(network_target(nn.Conv2d(3, 8, 2, stride=2), input="3xhxw"))
    assert found.multiples == {"h": (2, "H"), "w": (2, "W")}
    assert str(found.reduced(found.macs)) == "96·N·H·W"


def test_resnet50_has_the_published_count_at_its_usual_size(resnet50) -> None:
    """Published by torchvision: 4.089 GMACs and 25 557 032 parameters."""
    assert resnet50.macs.value({"N": 1, "H": 224, "W": 224}) == 4_089_184_256
    assert resnet50.params == 25_557_032


@pytest.mark.parametrize(
    "model", ["resnet18", "alexnet", "densenet121", "squeezenet1_1", "googlenet", "convnext_tiny"]
)
def test_formulas_equal_plain_counts_at_random_sizes(model) -> None:
    found = formula(network_target(model))
    smallest = {symbol: low for symbol, (low, _) in found.limits.items()}
    draw = random.Random(model)
    for _ in range(3):
        values = {
            "N": draw.randint(1, 9),
            "H": draw.randint(smallest["H"], 700),
            "W": draw.randint(smallest["W"], 700),
        }
        total = plain_count(model, values)
        assert found.macs.value(values) == total.macs
        assert found.activation_bytes.value(values) == total.activation_bytes


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.RNN, 1)])
def test_a_recurrent_layer_is_linear_in_its_steps(kind, gates) -> None:
    """Each step costs gates·D·(D_in + D) MACs; PyTorch runs it as products of its own."""
    found = formula(network_target(kind(6, 4, batch_first=True), input="Tx6"))
    assert found.macs.value({"N": 3, "T": 11}) == 3 * 11 * gates * 4 * (6 + 4)
    assert found.limits == {"N": (1, None), "T": (1, None)}


def test_a_recurrent_layer_is_tried_on_short_sequences(monkeypatch) -> None:
    """A run takes as long as its sequence, and a line needs no long one."""
    steps = []

    def counted(trial, values):
        steps.append(values["T"])
        return count(trial, values)

    count = Trial.count
    monkeypatch.setattr(Trial, "count", counted)
    formula(network_target(nn.GRU(2, 2), input="Tx2"))
    assert 1 < max(steps) <= 128


class Positions(nn.Module):
    def __init__(self, most):
        super().__init__()
        self.table = nn.Embedding(most, 2)

    def forward(self, x):
        return x @ self.table(torch.arange(x.shape[1], device=x.device)).T


@pytest.mark.parametrize("most", [7, 16, 39, 64, 77, 240, 1024])
def test_a_sequence_ends_with_the_table_of_its_positions(most) -> None:
    found = formula(network_target(Positions(most), input="Tx2"))
    assert found.limits["T"] == (1, most)
    assert found.macs.value({"N": 3, "T": 5}) == 3 * 5 * 2 * 5  # (3·5)×2 by 2×5


class SelfAttention(nn.Module):
    """Batch first, so that what is transposed is a view at a batch of 1 and a copy from 2 on."""

    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        return self.attend(x, x, x)[0]


def test_activations_hold_from_a_size_of_their_own() -> None:
    found = formula(network_target(SelfAttention, input="Lx16"))
    smallest = {symbol: low for symbol, (low, _) in found.activation_limits.items()}
    assert {symbol: low for symbol, (low, _) in found.limits.items()} == {"N": 1, "L": 1}
    assert smallest == {"N": 2, "L": 2}
    form = found.activation_bytes
    for batch, length in ((2, 2), (2, 5), (7, 2)):
        counted = analyse(target(SelfAttention, input=f"{length}x16", batch=batch)).total
        assert form.value({"N": batch, "L": length}) == counted.activation_bytes
    counted = analyse(target(SelfAttention, input="5x16", batch=1)).total
    assert form.value({"N": 1, "L": 5}) != counted.activation_bytes
    notes = " ".join(formula_report(found).tables[0].notes)
    assert "MACs hold for N ≥ 1, L ≥ 1, activation bytes for N ≥ 2, L ≥ 2" in notes


class SmallerTogether(nn.Module):
    """Takes a batch of 1, and a length of 1, but not both."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        if x.shape[0] * x.shape[1] == 1:
            raise ValueError("one position is too few")
        return self.linear(x)


def test_the_smallest_sizes_hold_together() -> None:
    found = formula(network_target(SmallerTogether, input="Lx4"))
    assert found.limits == {"N": (1, None), "L": (2, None)}


def test_the_smallest_size_is_where_the_formula_begins_to_hold() -> None:
    """VGG halves its input five times, so 32 is the smallest side."""
    found = formula(network_target("vgg11"))
    assert found.limits == {"N": (1, None), "H": (32, None), "W": (32, None)}
    with pytest.raises(ArchscopeError):
        analyse(target("vgg11", input="3x31x32"))


def test_windows_pad_to_whole_ones_and_the_formula_knows() -> None:
    """Swin pads every stage to multiples of its window of 7: strides of 28, 56, 112 and 224."""
    found = formula(network_target("swin_t"))
    assert found.strides == {"H": 224, "W": 224}
    values = {"N": 2, "H": 300, "W": 450}
    assert found.macs.value(values) == plain_count("swin_t", values).macs


def test_three_fresh_counts_stand_beside_the_formula(resnet50) -> None:
    assert len(resnet50.verified) == 3
    for check in resnet50.verified:
        counted = plain_count("resnet50", check.values)
        assert (counted.macs, counted.activation_bytes) == (check.macs, check.activation_bytes)
        assert resnet50.macs.value(check.values) == check.macs


class Attention(nn.Module):
    """Token embedding and one encoder layer."""

    def __init__(self, longest=None):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.position = None if longest is None else nn.Parameter(torch.zeros(longest, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, ids):
        x = self.embed(ids)
        if self.position is not None:
            x = x + self.position[: ids.shape[1]]
        return self.layer(x)


def test_attention_shows_its_quadratic_term() -> None:
    """Projections 4·D², MLP 2·D·F, attention 2·L·D a token (Vaswani et al. 2017, Table 1)."""
    found = formula(network_target(Attention, input="ids=L:int64"))
    n, length = 3, 77
    by_hand = n * length * (4 * 16 * 16 + 2 * 16 * 32 + 2 * length * 16)
    assert found.macs.value({"N": n, "L": length}) == by_hand
    assert str(found.macs.above(1, ["L"])) == "32·N·L²"
    sentences = " ".join(growth(found))
    assert "quadratic in L" in sentences
    assert "32·N·L²" in sentences
    assert "self_attn" in sentences


class TwoInputs(nn.Module):
    """A convolution over one sequence, a table for the other."""

    def __init__(self):
        super().__init__()
        self.conv, self.embed = nn.Conv1d(2, 4, 3), nn.Embedding(9, 4)

    def forward(self, signal, ids):
        return self.conv(signal).mean(2) + self.embed(ids).mean(1)


def test_growth_speaks_of_the_sizes_that_matter() -> None:
    """A kernel of 3 over 2 channels to 4: 24 MACs at each of T - 2 places, none for the table."""
    found = formula(network_target(TwoInputs, input="2xT,L:int64"))
    assert str(found.macs) == "24·N·(T - 2)"
    assert "MACs are linear in T; doubling T costs 2.0×" in " ".join(growth(found))


def test_a_largest_size_is_found_and_said() -> None:
    found = formula(network_target(Attention, input="ids=L:int64", keywords={"longest": 300}))
    assert found.limits["L"] == (1, 300)
    assert "1 ≤ L ≤ 300" in " ".join(formula_report(found).tables[0].notes)


class UNet(nn.Module):
    """Two levels whose sizes meet only at multiples of four."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.deep = nn.Conv2d(8, 8, 3, 2, 1)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)

    def forward(self, x):
        x = self.down(x)
        return x + self.up(self.deep(x))


def test_a_network_of_multiples_gets_a_formula_for_multiples() -> None:
    """27·8 MACs at H/2·W/2, (9·64 + 4·64) at H/4·W/4: 1696 a position of the deepest level."""
    found = formula(network_target(UNet, input="3xHxW"))
    assert [d.unit for d in found.domains] == [1, 4, 4]
    assert str(found.reduced(found.macs)) == "1696·N·h·w"
    assert "multiples of 4" in " ".join(formula_report(found).tables[0].notes)


class Square(nn.Module):
    """Adds an image to its transpose, so height and width must agree."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x + x.transpose(2, 3))


def test_a_square_network_takes_one_symbol() -> None:
    found = formula(network_target(Square, input="3xSxS"))
    assert str(found.macs) == "108·N·⌊(S+1)/2⌋²"
    assert "linear in pixels (S·S); doubling S costs 4.0×" in " ".join(growth(found))
    with pytest.raises(ArchscopeError, match="takes only square inputs; use one symbol: 3xSxS"):
        formula(network_target(Square, input="3xHxW"))


class Flat(nn.Module):
    """A flatten into a fixed linear layer; pooling hides one row."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5)
        self.pool = nn.MaxPool2d(2)
        self.classify = nn.Linear(4 * 12 * 12, 10)

    def forward(self, x):
        return self.classify(self.pool(self.conv(x)).flatten(1))


def test_a_network_of_fixed_size_is_told_with_module_and_admissible_size() -> None:
    with pytest.raises(ArchscopeError) as refusal:
        formula(network_target(Flat, input="1xHxW"))
    message = str(refusal.value)
    assert "classify (Linear)" in message
    assert "possible H: 28 to 29" in message
    assert "input='1x28x28'" in message


def test_without_an_input_fixed_sides_stay_numbers() -> None:
    found = formula(network_target("vit_b_16"))
    assert str(found.input) == "N×3×224×224"
    assert [(item.symbol, item.sizes) for item in found.fixed] == [("H", "224"), ("W", "224")]
    assert found.macs.value({"N": 1}) == analyse(target("vit_b_16")).total.macs


class Values(nn.Module):
    """Takes another way when its input is positive."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


class TwoPaths(nn.Module):
    """Runs a second convolution on large images only."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        x = self.first(x)
        return self.second(x) if x.shape[2] > 900 else x


def test_a_network_of_two_paths_has_no_single_formula() -> None:
    problem = "different layers or products at N = 2, H = 2016, W = 224 and at N = 2, H = 224"
    with pytest.raises(ArchscopeError, match=problem):
        formula(network_target(TwoPaths, input="3xHxW"))


@pytest.mark.parametrize(
    ("model", "options", "problem"),
    [
        ("resnet18", {"input": "CxHxW"}, "C is used for the channels, which conv1 .* fixes at 3"),
        ("resnet18", {"input": "3xNxW"}, "N is used for the batch and for a side"),
        ("resnet18", {"input": "3xHxh"}, "H and h clash"),
        ("resnet18", {"input": "3x64x64", "batch": 2}, "leaves nothing free; give a symbol"),
        ("vit_b_16", {"input": "3xHxW"}, "possible H: 224 .* input='3x224x224'"),
        (Values, {"input": "8"}, "cannot take symbols: Values needs the values of tensors"),
        (nn.Identity, {}, "^input: is needed"),
        ("lenet", {"input": "foo"}, "^input='foo': foo is not a shape; write .*1x28x28"),
        ("lenet", {"input": "3xaxb"}, "; give numbers that it takes for a and b$"),
    ],
)
def test_bad_input_is_told_in_one_line_with_the_remedy(model, options, problem) -> None:
    with pytest.raises(ArchscopeError, match=problem) as refusal:
        formula(network_target(model, **options))
    assert "\n" not in str(refusal.value)


def test_summary_prints_symbolic_shapes_and_counts_at_the_usual_size() -> None:
    symbolic = analyse(target("resnet18", input="3xHxW"))
    numeric = analyse(target("resnet18"))
    assert symbolic.calls[1].output_shape == (1, 64, "⌊(H+1)/2⌋", "⌊(W+1)/2⌋")
    assert symbolic.total == numeric.total
    assert "Counts are those at H = 224, W = 224" in symbolic.notes[0]
    assert archive.loads(archive.dumps(symbolic)) == symbolic


def test_the_network_is_handed_back_as_it_was() -> None:
    network = UNet()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    formula(network_target(network, input="3xHxW"))
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_the_report_names_every_layer_that_computes(resnet50) -> None:
    totals, layers = formula_report(resnet50).tables
    assert totals.column("quantity")[:3] == ["Parameters", "MACs", "MACs, H = 32h, W = 32w"]
    assert sum(layers.column("times")) == len(analyse(target("resnet50")).layers)
    assert "9,408·N·⌊(H+1)/2⌋·⌊(W+1)/2⌋" in layers.column("macs")
