"""Constructors that make more than a machine holds."""

import torch
from torch import nn

import archscope


class Experts(nn.Module):
    """Weights of all experts in one parameter, as DeepSeek-V3 and gpt-oss make them."""

    def __init__(self, make="empty"):
        super().__init__()
        self.weights = nn.Parameter(getattr(torch, make)(2**12, 2**14, 2**14))  # 4 TiB in float32

    def forward(self, x):
        return x @ self.weights[0]


def test_weights_of_terabytes_are_built_without_storage():
    for make in ("empty", "zeros", "randn"):
        total = archscope.summary(lambda make=make: Experts(make), "2x16384:float32").total
        assert total.params == 2**40
        assert total.macs % 2**28 == 0 and total.macs > 0


def test_small_tensors_of_a_constructor_have_values():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            widths = torch.ones(3) * 4
            self.fc = nn.Linear(8, int(widths.sum()), bias=False)

        def forward(self, x):
            return self.fc(x)

    assert archscope.summary(Chosen, "8").total.macs == 8 * 12


class Indexed(nn.Module):
    """Chooses its way by a buffer of indices."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.tensor([1, 0]))
        self.parts = nn.ModuleList([nn.Linear(8, 80, bias=False), nn.Linear(8, 8, bias=False)])

    def forward(self, x):
        return self.parts[int(self.order[0])](x)


def test_indices_in_buffers_are_known_without_weights():
    summary = archscope.summary(Indexed, "8")
    assert summary.total.macs == 64
    assert summary.analysis.executed_on == "meta"
