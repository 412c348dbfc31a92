"""Networks of every family of torchvision, and of timm where it is installed."""

from __future__ import annotations

import warnings

import pytest
from torch import Tensor, nn

import archscope

FAMILIES = (
    "resnet18", "quantized_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "mc3_18", "raft_small",
    "swin_t", "vit_b_32", "mvit_v1_b", "densenet121",
)  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_one_network_of_every_family(name: str) -> None:
    summary = archscope.summary(name)
    assert summary.coverage.complete
    assert summary.analysis.executed_on == "meta"
    assert sum(layer.macs for layer in summary.layers) == summary.total.macs > 0


def test_whole_division_is_elementwise() -> None:
    """As positions of patches are computed; its operator lacks PyTorch's mark of such operators."""

    class Halved(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x // 2).floor_divide_(3)

    summary = archscope.summary(Halved(), "3x4x4")
    assert summary.coverage.complete
    assert summary.total.elementwise == 2 * 3 * 4 * 4


@pytest.mark.slow
def test_every_torchvision_network_is_counted_without_gaps() -> None:
    from archscope.resolve import vision

    for name in vision.names():
        summary = archscope.summary(name)
        assert summary.coverage.complete, (name, summary.coverage.unknown)
        assert summary.total.macs > 0, name


@pytest.mark.slow
def test_every_eighth_timm_network_is_counted() -> None:
    timm = pytest.importorskip("timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in timm.list_models()[::8]:
            assert archscope.summary(f"timm:{name}").total.macs > 0, name
