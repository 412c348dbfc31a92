"""Weights stored in fewer bits: parameters are the logical ones, products those of the layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope

PARAMS = (64 * 128 + 128) + (128 * 64 + 64)
MACS = 2 * (64 * 128 + 128 * 64)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))


def counted(network: nn.Module, *shape: int) -> Any:
    return archscope.summary(network, (torch.ones(*shape),))


def converted(build: Callable[[], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch points to torchao
        return build()


def dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear})  # type: ignore[no-any-return]


class Static(nn.Module):
    """Quantised once its ranges are observed: 3x3 convolution, residual, head."""

    def __init__(self) -> None:
        super().__init__()
        from torch.ao.nn.quantized import FloatFunctional
        from torch.ao.quantization import DeQuantStub, QuantStub

        self.into, self.out_of, self.adds = QuantStub(), DeQuantStub(), FloatFunctional()
        self.conv, self.fc = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        x = self.adds.add(x, self.conv(x))
        return self.out_of(self.fc(x.mean((2, 3))))  # type: ignore[no-any-return]


def static() -> nn.Module:
    from torch.ao.quantization import convert, get_default_qconfig, prepare

    network = Static().eval()
    network.qconfig = get_default_qconfig("x86")  # type: ignore[assignment]
    observed = prepare(network)
    observed(torch.rand(1, 4, 6, 6))
    return convert(observed)  # type: ignore[no-any-return]


def test_dynamically_quantised_layers_count_as_what_they_compute() -> None:
    found = counted(converted(dynamic), 2, 64)
    assert (found.total.params, found.total.macs) == (PARAMS, MACS)
    assert found.coverage.complete


@pytest.mark.skipif(
    "x86" not in torch.backends.quantized.supported_engines, reason="no such kernels here"
)
def test_statically_quantised_layers_count_as_what_they_compute() -> None:
    found = counted(converted(static), 1, 4, 6, 6)
    assert found.total.params == (4 * 2 * 9 + 4) + (4 * 5 + 5)
    assert found.total.macs == 4 * 36 * 2 * 9 + 4 * 5
    assert found.coverage.complete


class Packed(nn.Module):
    """Two weights of 4 bits in a byte, as layers written by hand have them."""

    def __init__(self, bits: int, as_parameter: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = 64, 128
        stored = torch.zeros(128, 64 * bits // 8, dtype=torch.uint8)
        if as_parameter:
            self.stored = nn.Parameter(stored, requires_grad=False)
        else:
            self.register_buffer("stored", stored)
        self.register_buffer("mask", torch.ones(3, dtype=torch.uint8))
        self.scales, self.bits = nn.Parameter(torch.ones(128, 1), requires_grad=False), bits

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stored >> shift for shift in range(0, 8, self.bits)]
        weight = torch.stack(parts, -1).flatten(1).to(x.dtype) * self.scales
        return nn.functional.linear(x, weight)


@pytest.mark.parametrize("as_parameter", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packed_weights_count_as_the_parameters_that_they_are(
    bits: int, as_parameter: bool
) -> None:
    total = counted(Packed(bits, as_parameter), 2, 64).total
    assert (total.params, total.buffers, total.macs) == (64 * 128 + 128, 3, 2 * 64 * 128)


class Masked(nn.Linear):
    """A mask is no second weight."""

    def __init__(self) -> None:
        super().__init__(8, 8, bias=False)
        self.register_buffer("mask", torch.ones(8, 8, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.mask)


def test_a_mask_of_the_weight_s_sides_is_a_buffer() -> None:
    total = counted(Masked(), 2, 8).total
    assert (total.params, total.buffers) == (64, 64)


def test_bitsandbytes_notes_the_shape_of_its_4_bit_weights() -> None:
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 128, quant_type="nf4").to("cpu")
    assert layer.weight.numel() == 64 * 128 // 2
    total = counted(nn.Sequential(layer), 2, 64).total
    assert (total.params, total.macs) == (64 * 128 + 128, 2 * 64 * 128)


def test_torchao_s_tensors_have_their_logical_sides() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    network = mlp()
    torchao.quantize_(network, torchao.Int8WeightOnlyConfig())
    total = counted(network, 2, 64).total
    assert (total.params, total.macs) == (PARAMS, MACS)


class Recurrent(nn.Module):
    """Holds a recurrent layer or a cell, as PyTorch quantises what a network holds."""

    def __init__(self, kind: type[nn.Module], **options: Any) -> None:
        super().__init__()
        self.layer = kind(8, 16, **options)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


RECURRENT: dict[str, tuple[type[nn.Module], dict[str, Any], Tensor]] = {
    "lstm": (nn.LSTM, {"num_layers": 2, "bidirectional": True}, torch.ones(5, 2, 8)),
    "gru": (nn.GRU, {"num_layers": 2}, torch.ones(5, 2, 8)),
    "lstm cell": (nn.LSTMCell, {}, torch.ones(2, 8)),
    "gru cell": (nn.GRUCell, {}, torch.ones(2, 8)),
    "rnn cell": (nn.RNNCell, {}, torch.ones(2, 8)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_quantised_recurrent_layer_counts_as_the_one_it_was_made_of(name: str) -> None:
    kind, options, x = RECURRENT[name]
    network = Recurrent(kind, **options).eval()
    quantised = converted(lambda: torch.ao.quantization.quantize_dynamic(network, {kind}))
    summary, plain = archscope.summary(quantised, (x,)), archscope.summary(network, (x,))
    for count in ("macs", "params", "elementwise"):
        assert getattr(summary.total, count) == getattr(plain.total, count)
    weights = sum(p.numel() for n, p in network.named_parameters() if "weight" in n)
    assert summary.total.param_bytes == weights + 4 * (plain.total.params - weights)
    assert "at least" not in str(summary)
