"""Autocast on meta keeps what PyTorch's own autocast keeps.

PyTorch's `FakeTensorMode` runs `torch.autocast("cuda")` without a GPU: its dispatcher makes the
casts, on tensors that say they are on one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from archscope.analysis.autocast import autocast
from archscope.analysis.gpu_functions import GpuFunctions
from archscope.ask.network.subject import find


def kept(run: Any, without: set[int]) -> Counter[tuple[torch.dtype, int]]:
    """Bytes of each storage that autograd keeps, by dtype."""
    storages: dict[int, tuple[torch.dtype, int, Any]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in without and storage.nbytes():
            storages[storage._cdata] = (tensor.dtype, storage.nbytes(), storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return Counter((dtype, size) for dtype, size, _ in storages.values())


def known(*tensors: Tensor) -> set[int]:
    return {tensor.untyped_storage()._cdata for tensor in tensors}


def on_meta(network: nn.Module, shape: tuple[int, ...], half: torch.dtype) -> Any:
    network = network.to("meta").train()
    x = torch.empty(shape, device="meta")
    with autocast(half), GpuFunctions():
        return kept(lambda: network(x), known(*network.parameters(), *network.buffers(), x))


def by_pytorch(network: nn.Module, shape: tuple[int, ...], half: torch.dtype) -> Any:
    with FakeTensorMode():
        for module in network.modules():
            for held in (module._parameters, module._buffers):
                for key, tensor in held.items():
                    if tensor is not None:
                        twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
                        trains = isinstance(tensor, nn.Parameter)
                        held[key] = nn.Parameter(twin) if trains else twin  # type: ignore[assignment]
        x = torch.empty(shape, device="cuda")
        network.train()
        torch.set_autocast_enabled("cuda", True)
        torch.set_autocast_dtype("cuda", half)
        try:
            return kept(lambda: network(x), known(*network.parameters(), *network.buffers(), x))
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.clear_autocast_cache()


class Attention(nn.Module):
    """Products and a softmax written out, as before there was a fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96)
        self.norm = nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        weights = (q @ k.transpose(-2, -1) * 32**-0.5).softmax(-1)
        return x + F.dropout(weights @ v, 0.1)


class Mixed(nn.Module):
    """Functions of each of autocast's lists."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 32)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.linear(x))
        y = F.normalize(y, dim=-1) + y.pow(2) * y.exp()
        y = torch.einsum("nld,nkd->nlk", y, y).log_softmax(-1)
        return F.gelu(y).cumsum(-1) + F.softplus(y)


NETWORKS = {
    "attention": (Attention, (2, 9, 32)),
    "lists": (Mixed, (2, 9, 32)),
    "resnet18": (lambda: find("resnet18", {}).module, (2, 3, 64, 64)),
    "densenet121": (lambda: find("densenet121", {}).module, (2, 3, 64, 64)),
    "efficientnet_b0": (lambda: find("efficientnet_b0", {}).module, (2, 3, 64, 64)),
    "mobilenet_v3_small": (lambda: find("mobilenet_v3_small", {}).module, (2, 3, 64, 64)),
    "convnext_tiny": (lambda: find("convnext_tiny", {}).module, (2, 3, 64, 64)),
    "swin_t": (lambda: find("swin_t", {}).module, (2, 3, 64, 64)),
}


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_kept_is_what_pytorch_s_autocast_keeps(name, half):
    make, shape = NETWORKS[name]
    assert on_meta(make(), shape, half) == by_pytorch(make(), shape, half)


def test_the_loss_of_class_scores_is_in_float32():
    scores = torch.empty(4, 10, dtype=torch.float16, device="meta", requires_grad=True)
    labels = torch.zeros(4, dtype=torch.long, device="meta")
    with autocast(torch.float16):
        for smoothing in (0.0, 0.1):
            loss = F.cross_entropy(scores, labels, label_smoothing=smoothing)
            assert loss.dtype is torch.float32
    assert F.cross_entropy(scores.float(), labels).dtype is torch.float32


def test_a_weight_is_converted_once():
    weight = nn.Parameter(torch.empty(4, 4, device="meta"))
    x = torch.empty(2, 4, device="meta")
    with autocast(torch.float16) as mode:
        F.linear(F.linear(x, weight), weight)
        assert len(mode.weights) == 1


def test_torch_s_functions_are_as_they_were_afterwards():
    before = F.has_torch_function_unary
    with pytest.raises(ZeroDivisionError), autocast(torch.float16):
        assert F.has_torch_function_unary is not before
        raise ZeroDivisionError
    assert F.has_torch_function_unary is before
