"""A layer called by its `forward` is a call of that layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import archscope


class Scaled(nn.Linear):
    """Goes through the forward of the class that it inherits from."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Direct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Scaled(8, 8, bias=False), nn.ReLU())
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head.forward(input=self.stem.forward(x))


def test_a_layer_called_by_its_forward_has_its_own_row_and_work() -> None:
    kind = (Direct.forward, Scaled.forward, nn.Linear.forward, nn.Sequential.forward)
    counted = archscope.summary(Direct(), (torch.randn(2, 8),), backward=True)
    rows = {layer.name: layer for layer in counted.layers}
    assert [layer.name for layer in counted.layers] == ["stem.0", "stem.1", "head"]
    assert all(layer.called and layer.call == 0 for layer in counted.layers)
    assert rows["head"].macs == 2 * 8 * 4
    assert rows["head"].macs_backward == 2 * (2 * 8 * 4)  # of the input and of the weight
    assert rows["stem.0"].macs == rows["stem.0"].macs_backward == 2 * 8 * 8  # of the weight alone
    assert rows["head"].input_shapes == ((2, 8),)
    assert kind == (Direct.forward, Scaled.forward, nn.Linear.forward, nn.Sequential.forward)
