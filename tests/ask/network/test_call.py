"""What a network is called with, from a specification or from tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import archscope
from archscope.measure.step import Settings, random_inputs
from archscope.resolve.inputs import input_text, parse_input


class OfEntries(nn.Module):
    """Reads its only argument by keys."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found = self.table(batch["ids"]) * batch["mask"].unsqueeze(-1)
        return self.head(found.mean(1))


def test_entries_of_a_dictionary_are_spelled_as_they_are_printed() -> None:
    given = "batch.ids=128:int64,batch.mask=128"
    counted = archscope.summary(OfEntries(), given, batch=2)
    assert counted.total.macs == 2 * 16 * 4
    tensors = {"ids": torch.zeros(2, 128, dtype=torch.int64), "mask": torch.zeros(2, 128)}
    passed = archscope.summary(OfEntries(), {"batch": tensors})
    assert (
        str(passed.record.input)
        == str(counted.record.input)
        == "batch.ids=2×128:int64, batch.mask=2×128"
    )
    assert input_text(passed.record.input) == given
    with pytest.raises(archscope.ArchscopeError, match=f"write its entries like .*{given}"):
        archscope.summary(OfEntries(), "ids=128:int64,mask=128")
    with pytest.raises(archscope.ArchscopeError, match=r"batch\.ids=…,batch\.mask=…"):
        archscope.summary(OfEntries())
    for both in ("batch=8,batch.ids=8", "batch.ids=8,batch=8"):
        with pytest.raises(archscope.ArchscopeError, match="at once"):
            archscope.summary(OfEntries(), both)


def test_entries_of_a_dictionary_are_measured_too() -> None:
    spec = parse_input("batch.ids=8:int64,batch.mask=8", 2)
    settings = Settings()
    args, kwargs = random_inputs(spec, OfEntries(), settings, torch.device("cpu"), None)
    assert args == [] and list(kwargs) == ["batch"] and list(kwargs["batch"]) == ["ids", "mask"]
