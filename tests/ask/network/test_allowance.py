"""What a run on the CPU may take."""

import pytest
from torch import nn

import archscope


class Asks(nn.Module):
    """Needs values, and 4 MiB of weights for them."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1024, 1024, bias=False)

    def forward(self, x):
        return self.fc(x) if x.sum() > -1e9 else x


def test_a_run_on_the_cpu_takes_no_more_memory_than_is_allowed(monkeypatch):
    monkeypatch.setenv("ARCHSCOPE_ALLOW_MEMORY", "2MiB")
    with pytest.raises(archscope.ArchscopeError, match=r"take 4.00 MiB where .* allows 2.00 MiB"):
        archscope.summary(Asks, "1024")
    monkeypatch.setenv("ARCHSCOPE_ALLOW_MEMORY", "4MiB")
    assert archscope.summary(Asks, "1024").total.macs == 2**20
    monkeypatch.delenv("ARCHSCOPE_ALLOW_MEMORY")
    monkeypatch.setattr("archscope.measure.memory.available_bytes", lambda device: 2**22)
    with pytest.raises(archscope.ArchscopeError, match=r"half of the free memory is 2\.00 MiB"):
        archscope.summary(Asks, "1024")
    network = Asks()  # its weights are there already
    assert archscope.summary(network, "1024").total.macs == 2**20
