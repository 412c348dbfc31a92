"""What `torch.compile` fuses: the bytes that its kernels move."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels
from archscope.latency.setting import Setting

POSITIONS = 3 * 16 * 12 * 12


class Residual(nn.Module):
    """A convolution, its normalisation, the sum with a shortcut and an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.convolution(x)) + x)


def fused(module: nn.Module) -> list[Kernel]:
    setting = Setting("inference", "float32", compiled=True)
    target = network_target(module.eval(), input="16x12x12", batch=3)
    run = executed(*target.called(), setting, True)
    return [k for k in kernels(run.execution, "float32", compiled=True) if k.kind == "fused"]


def test_what_follows_a_convolution_is_one_kernel() -> None:
    """It reads the convolution's result, the shortcut and four vectors of 16, and writes once."""
    (kernel,) = fused(nn.Sequential(Residual(), nn.Conv2d(16, 16, 1, bias=False)))
    assert kernel.read == 4 * (2 * POSITIONS + 4 * 16)
    assert kernel.written == 4 * POSITIONS


def test_a_convolution_ends_a_kernel() -> None:
    """Each of two blocks has its own, which reads the two results that it adds."""
    last = nn.Conv2d(16, 16, 1, bias=False)
    found = fused(nn.Sequential(Residual(), Residual(), last))
    assert [kernel.written for kernel in found] == [4 * POSITIONS] * 2
