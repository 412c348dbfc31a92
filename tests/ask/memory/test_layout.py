"""Channels last: what is copied, and what is not, when images are ordered otherwise."""

from __future__ import annotations

import torch
from torch import nn

import archscope


class Permuted(nn.Module):
    """A convolution whose channels a linear layer takes last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.linear = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.linear(self.conv(x).permute(0, 2, 3, 1))
        return made


def most_in_the_forward_pass(layout: str) -> int:
    record = archscope.memory(Permuted(), "3x16x16", batch=2, layout=layout).record
    return max(moment.allocated for moment in record.timeline if moment.phase == "forward")


def test_channels_last_needs_no_copy_for_a_linear_layer() -> None:
    """Channels first, it copies its 2·16·16·8 inputs, and then adds its bias in a second tensor."""
    copied = 4 * 2 * 16 * 16 * 8
    assert most_in_the_forward_pass("nchw") - most_in_the_forward_pass("nhwc") >= copied
