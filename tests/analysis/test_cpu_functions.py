"""What recurrent layers keep on a CPU, beside what PyTorch's own CPU kernels are seen to save."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import archscope
from archscope.analysis.cpu_functions import workspace_bytes


def kept(network: nn.Module, x: torch.Tensor) -> int:
    """Bytes of the storages that a real step on the CPU saves, weights and input left out."""
    own = {t.untyped_storage()._cdata for t in (x, *network.parameters())}
    held: dict[int, torch.Tensor] = {}

    def seen(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            held.setdefault(
                tensor.untyped_storage()._cdata, tensor
            )  # alive: its address is its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        network(x)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


def predicted(network: nn.Module, x: torch.Tensor, device: str) -> int:
    record = archscope.memory(network, x, device=device).record
    return sum(row.saved_bytes for row in record.saved if row.name != "loss")


NETWORKS = {
    "LSTM": nn.LSTM(32, 64),
    "batch first": nn.LSTM(32, 64, batch_first=True),
    "both ways": nn.LSTM(20, 24, num_layers=2, bidirectional=True, batch_first=True),
    "wide input": nn.LSTM(300, 64, bias=False),
    "projected": nn.LSTM(32, 64, proj_size=16),
    "float64": nn.LSTM(32, 64, dtype=torch.float64),
    "GRU": nn.GRU(32, 64, num_layers=2, batch_first=True),
    "GRU both ways": nn.GRU(32, 64, bidirectional=True, batch_first=True),
    "RNN": nn.RNN(32, 64, batch_first=True),
    "ReLU": nn.RNN(32, 64, num_layers=2, nonlinearity="relu"),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_recurrent_layer_keeps_what_it_keeps_on_a_cpu(name: str) -> None:
    network = NETWORKS[name]
    dtype = next(network.parameters()).dtype
    x = torch.randn(7, 10, int(network.input_size), dtype=dtype)  # type: ignore[arg-type]
    assert predicted(network, x, "cpu") == kept(network, x)


def test_an_lstm_keeps_less_by_cells_than_in_onednn() -> None:
    """Cells keep four gates, two states and a hyperbolic tangent of each: 7·10·4·64 floats."""
    network, x = nn.LSTM(32, 64, batch_first=True), torch.randn(4, 10, 32)
    assert predicted(network, x, "cuda") == 7 * 10 * 4 * 64 * 4
    assert kept(network, x) > 2.5 * predicted(network, x, "cuda")


def test_the_workspace_is_in_pages() -> None:
    """Ten steps of four sequences, 32 → 64: rows of 256 gates take 272 floats.

    Gates 10·4·272·4 = 43,520 bytes (11 pages), five states 2·11·4·64·4 = 22,528 (6 each), outputs
    10·4·64·4 = 10,240 (3).
    """
    assert workspace_bytes(10, 4, 32, 64) == (11 + 5 * 6 + 3) * 4096
