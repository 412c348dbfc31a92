"""What is written out is true: every printed equation holds, and its result is the count."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import archscope
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.records import Analysis
from archscope.study.explain import explain_report
from archscope.table import Derivation


def explained(model: object, *patterns: str, **options: object) -> dict[str, Derivation]:
    """Derivations by the name of their layer."""
    report = explain_report(analyse(target(model, **options), backward=True), patterns)
    return {item.title.split(" · ")[0]: item for item in report.derivations}


def lines(derivation: Derivation) -> dict[str, str]:
    return {step.label: step.text for step in derivation.steps}


def arithmetic(text: str) -> int | None:
    """The value of one side of an equation, `None` where letters stand in it."""
    if re.search("[A-Za-z]", text):
        return None
    text = text.replace(",", "").replace("·", "*").replace("−", "-")
    text = re.sub(r"⌊(.*)/(\d+)⌋", r"(\1)//\2", text)
    text = re.sub(r"⌈(.*)/(\d+)⌉", r"-(-(\1)//\2)", text)
    value = eval(text, {"__builtins__": {}}, {})
    assert value == int(value)
    return int(value)


def check_equations(report_of: Analysis) -> None:
    report = explain_report(report_of)
    for derivation in report.derivations:
        for step in derivation.steps:
            if step.kind == "formula":
                values = [arithmetic(side) for side in step.text.split(" = ")]
                known = {value for value in values if value is not None}
                assert len(known) == 1, (derivation.title, step)


NETWORKS = ["lenet", "resnet18", "resnext50_32x4d", "densenet121", "googlenet", "vit_b_16"]


@pytest.mark.parametrize("model", [*NETWORKS, "mobilenet_v3_small", "swin_t"])
def test_both_sides_of_every_equation_are_equal(model: str) -> None:
    check_equations(analyse(target(model), backward=True))


@pytest.mark.parametrize("model", NETWORKS)
def test_the_explained_numbers_add_up_to_the_totals(model: str) -> None:
    counted = analyse(target(model), backward=True)
    report = explain_report(counted)
    *layers, _ = report.derivations
    by_label = {"Parameters": 0, "MACs": 0, "Elementwise": 0}
    for derivation in layers:
        found = lines(derivation)
        params = found.get("Parameters", "0").split(" = ")[-1]
        by_label["Parameters"] += arithmetic(params) or 0
        macs = found.get("MACs, together", found.get("MACs", "0")).split(" = ")[-1]
        by_label["MACs"] += arithmetic(macs) or 0
        elementwise = found.get("Elementwise", "0").split(" = ")[-1]
        by_label["Elementwise"] += arithmetic(elementwise) or 0
    assert by_label["Elementwise"] == counted.total.elementwise
    held_elsewhere = sum(layer.params for layer in counted.calls if layer.children and layer.params)
    assert by_label["MACs"] == counted.total.macs
    assert by_label["Parameters"] + held_elsewhere >= counted.total.params


def test_lenet_c1_has_the_published_numbers() -> None:
    """LeCun et al. (1998, section II.B): C1 has 156 parameters and 122,304 connections."""
    found = lines(explained("lenet")["conv1"])
    assert found["Output height"].endswith("⌊(28 + 2·2 − 5)/1⌋ + 1 = 28")
    assert found["Parameters"].endswith("(1·5·5 + 1)·6 = 156")
    assert found["MACs"] == ("N·C_out·H_out·W_out·(C_in/G)·K_h·K_w = 1·6·28·28·1·5·5 = 117,600")
    assert found["Connections"].endswith("= 122,304")


def test_the_first_layer_says_why_its_backward_is_cheaper() -> None:
    layers = explained("lenet")
    assert "network's input has none" in lines(layers["conv1"])["Why 1× forward"]
    assert "Backward MACs, input gradient" not in lines(layers["conv1"])
    assert lines(layers["conv2"])["Backward MACs, together"].endswith("= 480,000")
    assert "Why 2× forward" in lines(layers["conv2"])


def test_frozen_weights_say_why_their_backward_is_cheaper() -> None:
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    for parameter in network[1].parameters():
        parameter.requires_grad_(False)
    frozen = lines(explained(network, input="4")["1"])
    assert "its weights are frozen" in frozen["Why 1× forward"]
    assert frozen["Backward MACs, input gradient"] == "rows·D_out·D_in = 1·6·5 = 30"
    assert frozen["Frozen"].startswith("36 of them")


def test_groups_divide_parameters_and_macs() -> None:
    """ResNeXt-50 32×4d: 128 channels in 32 groups of 4 (Xie et al. 2017, Table 1)."""
    found = lines(explained("resnext50_32x4d", "layer1.0.conv2")["layer1.0.conv2"])
    assert "128/32 = 4 of 128 channels" in found["Groups"]
    assert found["Parameters"] == "(C_in/G)·K_h·K_w·C_out = 4·3·3·128 = 4,608"


def test_a_dense_layer_joins_what_came_before() -> None:
    """Huang et al. (2017): layer l of a block sees k₀ + k·(l − 1) channels, k = 32."""
    layers = explained("densenet121", "features.denseblock1")
    assert lines(layers["features.denseblock1.denselayer3"])["Concatenation"] == (
        "64 + 32 + 32 = 128 channels"
    )
    assert lines(layers["features.denseblock1"])["Concatenation"].endswith("= 256 channels")


def test_branches_are_joined_along_channels() -> None:
    """GoogLeNet's inception 3a: 64 + 128 + 32 + 32 (Szegedy et al. 2015, Table 1)."""
    found = lines(explained("googlenet", "inception3a")["inception3a"])
    assert found["Concatenation"] == "64 + 128 + 32 + 32 = 256 channels"


def test_a_residual_add_costs_one_operation_an_element() -> None:
    found = lines(explained("resnet50", "layer1.0")["layer1.0"])
    assert found["Elementwise"] == "outputs = 1·256·56·56 = 802,816"
    assert "Residual add" in found


def test_a_functional_activation_is_no_residual_add() -> None:
    layers = explained("googlenet", "inception3a.branch1")
    assert "Residual add" not in lines(layers["inception3a.branch1"])


def test_normalisation_tells_parameters_from_buffers() -> None:
    layers = explained("resnet18", "bn1")
    assert lines(layers["bn1"])["Parameters"] == "2·C = 2·64 = 128"
    assert lines(layers["bn1"])["Buffers"] == "2·C + 1 = 2·64 + 1 = 129"
    grouped = explained(nn.GroupNorm(2, 8), input="8x4x4")
    assert "Buffers, parts" not in lines(grouped["GroupNorm"])


class WrittenOutAttention(nn.Module):
    """One head of 4 channels over 3 positions, as networks without PyTorch's function write it."""

    def __init__(self) -> None:
        super().__init__()
        self.projected = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.projected(x).chunk(3, -1)
        out: Tensor = (query @ key.transpose(-2, -1)).softmax(-1) @ value
        return out


def test_products_of_attention_that_is_written_out_are_named() -> None:
    analysis = analyse(target(WrittenOutAttention(), input="3x4", batch=2), backward=True)
    text = "\n".join(f"{s.label}: {s.text}" for s in explain_report(analysis).derivations[0].steps)
    assert "MACs, query·key: B·rows·D_in·D_out = 2·3·4·3 = 72" in text
    assert "MACs, weights·value: B·rows·D_in·D_out = 2·3·3·4 = 72" in text
    for operand in ("query", "key", "weights", "value"):
        assert f"Backward MACs, {operand} gradient" in text


def test_attention_names_its_two_products() -> None:
    """Vaswani et al. (2017): heads·L·L·E each, with 12 heads of 64 on 197 tokens."""
    name = "encoder.layers.encoder_layer_0.self_attention"
    found = lines(explained("vit_b_16", name)[name])
    assert found["MACs, query·key"] == "N·heads·L·S·E = 1·12·197·197·64 = 29,805,312"
    assert found["MACs, weights·value"].endswith("12·197·197·64 = 29,805,312")
    assert found["Parameters"].endswith("= 2,362,368")


class SelfAttention(nn.Module):
    """Two heads of eight."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attended: torch.Tensor = self.attend(x, x, x)[0]
        return attended


@pytest.mark.parametrize("keys", [5, 8, 13])
def test_attention_names_its_products_with_fewer_and_more_keys_than_a_head_is_wide(
    keys: int,
) -> None:
    """Query·key sums over the head, weights·value over the keys; gradients follow."""
    found = lines(explained(SelfAttention, input=f"{keys}x16")["attend"])
    assert found["MACs, query·key"].startswith(f"B·rows·D_in·D_out = 2·{keys}·8·{keys} = ")
    assert found["MACs, weights·value"].startswith(f"B·rows·D_in·D_out = 2·{keys}·{keys}·8 = ")
    backward = [label for label in found if label.startswith("Backward MACs, ")]
    assert backward == [
        "Backward MACs, output projection, input gradient",
        "Backward MACs, output projection, weight gradient",
        "Backward MACs, value gradient",
        "Backward MACs, weights gradient",
        "Backward MACs, key gradient",
        "Backward MACs, query gradient",
        "Backward MACs, input projection, weight gradient",
        "Backward MACs, together",
    ]
    assert found["Backward MACs, weights gradient"].split(" = ")[1] == f"2·{keys}·8·{keys}"
    assert found["Backward MACs, query gradient"].split(" = ")[1] == f"2·{keys}·{keys}·8"
    assert found["Backward MACs, key gradient"].split(" = ")[1] == f"2·8·{keys}·{keys}"


def test_products_without_weights_have_two_operands() -> None:
    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(4, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.project(x)
            return y @ y.transpose(-1, -2)

    found = lines(explained(Scores, input="3x4")["Scores"])
    assert found["Backward MACs, first operand's gradient"].endswith("1·3·3·6 = 54")
    assert found["Backward MACs, second operand's gradient"].endswith("1·6·3·3 = 54")
    assert "weights" not in found["Why 2× forward"]
    assert "two operands" in found["Why 2× forward"]


def test_every_product_of_a_recurrent_layer_has_its_role() -> None:
    network = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    found = lines(explained(network, input="4x3")["LSTM"])
    gradients = {"input weight", "state", "state weight", "layer below", "layer below weight"}
    assert {label for label in found if "MACs" in label} == {
        *(f"MACs, {role}" for role in ("input", "state", "layer below", "together")),
        *(f"Backward MACs, {role} gradient" for role in gradients),
        "Backward MACs, together",
    }
    alike = lines(explained(nn.GRU(5, 5), input="4x5")["GRU"])
    assert "MACs, input and state" in alike


def test_an_lstm_counts_its_gates() -> None:
    """4·D·(D_in + D + 2) parameters a layer and direction (PyTorch keeps two biases)."""
    network = nn.LSTM(16, 8, num_layers=2, bidirectional=True)
    found = lines(explained(network, input="5x16")["LSTM"])
    assert found["Parameters"].endswith("2·4·8·(16 + 8 + 2) + 2·4·8·(16 + 8 + 2) = 3,328")
    assert arithmetic(found["MACs, together"].split(" = ")[-1]) == 2 * 5 * 2 * 4 * 8 * (16 + 8)


@pytest.mark.parametrize(("cell", "gates"), [("LSTMCell", 4), ("GRUCell", 3), ("RNNCell", 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_recurrent_cell_is_one_step(cell: str, gates: int, bias: bool) -> None:
    """gates·D·(D_in + D) weights, as many MACs a row, and two biases (PyTorch keeps two)."""
    report = archscope.explain(getattr(nn, cell)(3, 5, bias=bias), input="3").report
    found = lines(report.derivations[0])
    parameters = f"{gates}·5·(3 + 5 + {2 * bias}) = {gates * 5 * (3 + 5 + 2 * bias)}"
    assert found["Parameters"] == f"gates·D·(D_in + D + biases) = {parameters}"
    assert found["MACs, input"].endswith(f" = {gates * 5 * 3}")
    assert found["MACs, state"].endswith(f" = {gates * 5 * 5}")
    assert found["Backward MACs, input weight gradient"].endswith(f" = {gates * 5 * 3}")
    assert found["Backward MACs, state weight gradient"].endswith(f" = {gates * 5 * 5}")
    assert found["Elementwise, tanh"].endswith(f" = {10 if cell == 'LSTMCell' else 5}")


def test_the_softmax_of_attention_is_written_out() -> None:
    class Attend(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    text = str(archscope.explain(Attend, input="2x5x8"))
    assert "2·N·heads·L·S = 2·1·2·5·5 = 100" in text, "scores scaled, and their softmax"


def test_parameters_that_no_call_uses_are_told() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(2, 2), nn.Linear(3, 3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.used(x)

    assert lines(explained(Idle, input="2")["idle"])["Not run"].startswith("12 parameters")


convolutions = st.fixed_dictionaries(
    {
        "kernel_size": st.integers(1, 5),
        "stride": st.integers(1, 4),
        "padding": st.integers(0, 3),
        "dilation": st.integers(1, 3),
        "groups": st.sampled_from([1, 2, 4]),
        "bias": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None)
@given(convolutions, st.booleans(), st.integers(13, 40), st.integers(13, 40))
def test_every_convolution_is_explained_right(
    options: dict[str, int], transposed: bool, height: int, width: int
) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    network = kind(4, 8, **options)  # type: ignore[arg-type]
    counted = analyse(target(network, input=f"4x{height}x{width}"), backward=True)
    check_equations(counted)
    found = lines(explain_report(counted).derivations[0])
    assert found["Parameters"].split(" = ")[-1] == f"{counted.total.params:,}"
    assert found["Output height"].split(" = ")[-1] == str(counted.calls[0].output_shape[2])  # type: ignore[index]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 2),
    st.booleans(),
    st.integers(6, 40),
)
def test_every_pooling_is_explained_right(
    kind: type[nn.Module], kernel: int, stride: int, padding: int, ceil: bool, side: int
) -> None:
    pool = kind(kernel, stride, min(padding, kernel // 2), ceil_mode=ceil)
    counted = analyse(target(pool, input=f"3x{side}x{side}"))
    check_equations(counted)
    derived = lines(explain_report(counted).derivations[0])
    printed, actual = derived["Output height"].split(" = ")[-1], counted.calls[0].output_shape
    assert actual is not None
    dropped = "dropped" in derived.get("Ceiling, height", "")
    assert int(printed) - dropped == actual[2]


def test_layers_are_chosen_by_name_container_and_glob() -> None:
    assert list(explained("resnet18", "conv1", "fc"))[:-1] == ["conv1", "fc"]
    inside = list(explained("resnet18", "layer1.0"))[:-1]
    assert inside[:2] == ["layer1.0", "layer1.0.conv1"]
    assert list(explained("resnet18", "layer?.0.conv2"))[:-1] == [
        f"layer{stage}.0.conv2" for stage in (1, 2, 3, 4)
    ]


def test_a_layer_that_is_not_there_is_told_with_its_neighbours() -> None:
    with pytest.raises(ArchscopeError, match="layer9: resnet18 has no such layer; did you mean"):
        explained("resnet18", "layer9")


def test_symbols_are_sent_to_formula() -> None:
    with pytest.raises(ArchscopeError, match="archscope formula"):
        explained("resnet18", input="3xHxW")


class JoinsAndAdds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.a(x) + x, self.b(x)], 1)


def test_work_beside_a_concatenation_is_told_too() -> None:
    found = lines(explained(JoinsAndAdds(), input="3x8x8")["JoinsAndAdds"])
    assert found["Concatenation"] == "3 + 3 = 6 channels"
    assert found["Elementwise"] == "192", "the add on 3·8·8 values"


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x).relu().mean((2, 3))
        return y


def test_work_that_is_no_operation_on_each_output_is_a_plain_number() -> None:
    """A ReLU and a mean of 2·4·4 values each, and 2 outputs: `32·outputs` would mean nothing."""
    assert lines(explained(Mean(), input="1x4x4")["Mean"])["Elementwise"] == "64"


def test_a_transform_says_by_which_convention_it_is_counted() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(x).abs()

    text = str(archscope.explain(Spectrum(), input=(1, 128)))
    # half of 5·128·log₂128 real operations, two of which are one multiply-accumulate
    assert "1.25·N·log₂N = 1·1120 = 1,120" in text
    assert "FFTW" in text
    assert "FFTW" not in str(archscope.explain("lenet"))


def test_calls_of_one_layer_are_not_several_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.step(self.step(x)))
            return out

    report = explain_report(analyse(target(Twice(), input="4"), backward=True), ["step"])
    # 4·4 MACs a call, of 2·4·4 + 4·2; 4·4 weights and 4 biases once
    assert str(report.answer).startswith("2 calls of step of Twice take 32 MACs, 80.0 % of all, ")
    assert str(report.answer).endswith("with 20 parameters.")


class Functional(nn.Module):
    """LeNet's first block twice over, as a student writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 6, 5, padding=2)
        self.b = nn.Conv2d(1, 6, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([F.relu(self.a(x)), F.relu(self.b(x))], 1)
        y = F.max_pool2d(y, 2)
        return (y + y).mean((2, 3))


def test_functional_calls_are_written_out_by_operator() -> None:
    report = archscope.explain(Functional(), input="1x28x28").report
    steps = [(step.label, step.text) for step in report.derivations[0].steps]
    assert steps == [
        ("Elementwise, relu", "2·outputs = 2·1·6·28·28 = 9,408"),
        ("Elementwise, max_pool2d", "outputs·window = 1·12·14·14·2·2 = 9,408"),
        ("Elementwise, add", "outputs = 1·12·14·14 = 2,352"),
        ("Elementwise, mean", "inputs = 1·12·14·14 = 2,352"),
        ("Elementwise", "9,408 + 9,408 + 2,352 + 2,352 = 23,520"),
    ]


def test_each_call_of_a_layer_has_its_own_operators() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(torch.sigmoid(x), 2)

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pooled = Halves()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.pooled(self.pooled(x))
            return y

    report = archscope.explain(Calls(), input="1x8x8").report
    sums = [step.text for made in report.derivations[:2] for step in made.steps
            if step.label == "Elementwise"]  # fmt: skip
    assert sums == ["64 + 64 = 128", "16 + 16 = 32"], "8·8, then 4·4 values, and their windows"


def test_a_record_says_that_its_operators_are_not_in_it() -> None:
    counted = analyse(target(Functional(), input="1x28x28"))
    first = lines(archscope.explain(counted).report.derivations[0])
    assert first["Elementwise"] == "23,520"
    assert "not in the record" in first["Operators"]


def test_axes_of_a_mean_are_no_window() -> None:
    """A mean over axes 2 and 3 of 2·3 values each, as many as 2·3 sides of a window would read."""

    class Means(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3), keepdim=True)

    found = lines(archscope.explain(Means(), input="4x2x3").report.derivations[0])
    assert found["Elementwise, mean"] == "inputs = 1·4·2·3 = 24"
