"""What `torch.compile` fuses: the bytes that its kernels move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

import archscope
from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.latency.fusion import likely_order
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


@pytest.mark.parametrize(
    ("kernels", "order"),
    [
        ([((64, 64, 3, 3), False)], "nhwc"),
        ([((64, 4, 3, 3), True)], "nchw"),
        # 0.823 · 128·256 + 1.358 · 128·128·2 = 0.82 · 32,768 + 1.36 · 32,768 > 2 · 32,768
        ([((128, 256, 1, 1), False), ((128, 128, 2, 1), True)], "nchw"),
        # 0.823 · 4 · 32,768 + 1.358 · 32,768 < 5 · 32,768
        ([((128, 256, 2, 2), False), ((128, 128, 2, 1), True)], "nhwc"),
        ([], "nchw"),
    ],
)
def test_the_compiler_weighs_the_convolutions(
    kernels: list[tuple[tuple[int, ...], bool]], order: str
) -> None:
    """As `decide_layout_opt` of PyTorch's compiler (torch/_inductor/graph.py), whose factors are of
    its own measurements: 1.358 grouped, 0.783 of at most 64 channels, 0.823 others.
    """
    assert likely_order(kernels) == order


class SmallOnLarge(nn.Module):
    """A grouped convolution of large images, and a heavier dense one of a single position."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.dense = nn.Conv2d(16, 4096, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.grouped(x).mean((2, 3), keepdim=True))


def test_images_are_ordered_by_the_work_of_the_run() -> None:
    """By its kernels alone it would be channels last; by its work, which decides, it is not."""
    network = SmallOnLarge().eval()
    shapes = [(tuple(c.weight.shape), c.groups > 1) for c in (network.grouped, network.dense)]
    assert likely_order(shapes) == "nhwc"
    setting = Setting("inference", "float32", compiled=True)
    target = network_target(network, input="16x96x96", batch=3)
    execution = executed(*target.called(), setting, True).execution
    assert all(not run.outputs[0].axes for run in execution.runs if run.name == "convolution")


def test_a_network_of_the_zoo_takes_as_long_as_the_same_module() -> None:
    """The one is exchanged in place for its run, the other is copied."""
    for how in ({"layout": "nhwc"}, {"compiled": True}):
        by_name, by_module = (
            archscope.predict(network, "3x64x64", device="rtx4090", batch=8, **how).record
            for network in ("resnet18", models.resnet18())
        )
        assert by_name.seconds == by_module.seconds
        assert by_name.layers == by_module.layers
