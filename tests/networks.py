"""Small networks that each hold one difficulty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Functional(nn.Module):
    """Work outside of any child: `F.linear`, `einsum`, `@` and `+`."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight)  # N·5·6
        z = torch.einsum("ni,ij->nj", y, self.weight)  # N·6·5
        return z @ z.t() + 1  # N·5·N


class SharedConvolution(nn.Module):
    """One convolution under two names, called three times, with an in-place activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.alias = self.conv
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = self.act(self.conv(x))
        return self.alias(x)


class TiedWeights(nn.Module):
    """An embedding whose table is also the weight of the last linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.head = nn.Linear(5, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


class Checkpointed(nn.Module):
    """A block that runs again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 4))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.block, self.first(x), use_reentrant=self.reentrant)


class Gate(nn.Module):
    """Its way depends on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.gate = Gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.fc(x))


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor | None, ...]


class ManyInputs(nn.Module):
    """Positional, keyword and integer inputs; a dataclass with `None` inside comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, ids: Tensor, *, scale: Tensor | None = None) -> Output:
        x = self.embed(ids)
        if scale is not None:
            x = x * scale
        return Output(self.fc(x), (None, x))


class Fails(nn.Module):
    """Changes everything that a forward pass can change, then raises."""

    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.seen: list[int] = []
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        self.seen.append(1)
        self.cached = x
        self.conv.weight.requires_grad_(False)
        self.norm.eval()
        self.norm.register_forward_hook(lambda *arguments: None)
        torch.rand(3)
        raise self.error("half-way")


class Stateful(nn.Module):
    """Leaves its mark on itself and on the random state while it succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4, momentum=None)
        self.drop = nn.Dropout()
        self.rnn = nn.LSTM(4, 3, batch_first=True)
        self.calls = 0
        self.notes: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.notes["last"] = x
        x = self.drop(self.norm(x.transpose(1, 2)).transpose(1, 2))
        torch.randn(2)
        return self.rnn(x)[0]


def tripling(namespace: str) -> str:
    """Source of a network with an operator of its own, which no formula answers for."""
    return f"""
import torch
from torch import nn

library = torch.library.Library("{namespace}", "DEF")
library.define("tripled(Tensor x) -> Tensor")
library.impl("tripled", lambda x: x * 3, "CompositeExplicitAutograd")

class Tripling(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.ops.{namespace}.tripled(self.fc(x))
"""
