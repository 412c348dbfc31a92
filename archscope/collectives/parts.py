"""What one GPU has of a layer that several divide, as a layer of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archscope.collectives.styles import Style


def part(layer: nn.Linear | nn.Embedding, style: Style, gpus: int) -> nn.Module:
    """A layer on meta with this GPU's share of another's rows or columns.

    Args:
        layer: all of it.
        style: how it is divided.
        gpus: that divide it.
    """
    rows, columns = (gpus, 1) if style == "rowwise" else (1, gpus)
    how: dict[str, Any] = {"device": torch.device("meta"), "dtype": layer.weight.dtype}
    own: nn.Linear | nn.Embedding
    if isinstance(layer, nn.Embedding):
        own = nn.Embedding(layer.num_embeddings // rows, layer.embedding_dim // columns, **how)
    else:
        sides = layer.in_features // rows, layer.out_features // columns
        own = nn.Linear(*sides, layer.bias is not None, **how)
    for name, parameter in own.named_parameters():
        parameter.requires_grad_(getattr(layer, name).requires_grad)
    return Gathered(own, gpus) if style == "colwise_gather_output" else own


class Gathered(nn.Module):
    """A part whose output is as large as that of all parts."""

    def __init__(self, own: nn.Module, gpus: int) -> None:
        super().__init__()
        self.own = own
        self.gpus = gpus

    def forward(self, x: Tensor) -> Tensor:
        """Put what every GPU has side by side, in the place of an all-gather."""
        return torch.cat([self.own(x)] * self.gpus, -1)
