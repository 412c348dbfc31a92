"""Backward passes of whatever a network returns: its tensors are found in objects of any class."""

import dataclasses
import types
from collections import OrderedDict, UserDict

import pytest
import torch
from torch import nn

import archscope


@dataclasses.dataclass
class Result:
    logits: object
    more: object = None


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Endless:
    """As caches of transformers whose layers keep states in place of keys."""

    def __init__(self, value):
        self.value = value

    def __iter__(self):
        raise AttributeError("keys")


RETURNS = {
    "dataclass": lambda y: Result({"deep": [None, (y, 3)]}),
    "namespace": lambda y: types.SimpleNamespace(y=y, text="no", none=None),
    "slots": Slots,
    "distribution": lambda y: torch.distributions.Normal(y, 1.0),
    "mapping": lambda y: UserDict(a=OrderedDict(b=y)),
    "integers beside": lambda y: (y.argmax(-1), y, True),
    "packed": lambda y: nn.utils.rnn.pack_padded_sequence(y[None], [2], batch_first=True),
    "what cannot be iterated": lambda y: Endless(y),
    "itself twice": lambda y: [y, y],
    "a cycle": lambda y: _cycle(y),
}


def _cycle(y):
    holder = types.SimpleNamespace(y=y)
    holder.back = holder
    return holder


@pytest.mark.parametrize("make", RETURNS.values(), ids=RETURNS.keys())
def test_a_result_of_any_kind_has_its_backward_pass(make):
    class Returns(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8, bias=False)

        def forward(self, x):
            return make(self.fc(x))

    total = archscope.summary(Returns(), (torch.ones(2, 8),), backward=True).total
    assert total.macs_backward == 2 * 8 * 8  # the weight's gradient


def test_a_result_of_integers_alone_has_none():
    class Index(nn.Linear):
        def forward(self, x):
            return super().forward(x).argmax(-1)

    with pytest.raises(archscope.ArchscopeError, match="no output that needs a gradient"):
        archscope.summary(Index(8, 8), (torch.ones(2, 8),), backward=True)
