"""Constructors that make more than a machine holds."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import archscope


class Experts(nn.Module):
    """Weights of all experts in one parameter, as DeepSeek-V3 and gpt-oss make them."""

    def __init__(self, make="empty"):
        super().__init__()
        self.weights = nn.Parameter(getattr(torch, make)(2**12, 2**14, 2**14))  # 4 TiB in float32

    def forward(self, x):
        return x @ self.weights[0]


def test_weights_of_terabytes_are_built_without_storage():
    for make in ("empty", "zeros", "randn"):
        total = archscope.summary(lambda make=make: Experts(make), "2x16384:float32").total
        assert total.params == 2**40
        assert total.macs % 2**28 == 0 and total.macs > 0


def test_small_tensors_of_a_constructor_have_values():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            widths = torch.ones(3) * 4
            self.fc = nn.Linear(8, int(widths.sum()), bias=False)

        def forward(self, x):
            return self.fc(x)

    assert archscope.summary(Chosen, "8").total.macs == 8 * 12


class Indexed(nn.Module):
    """Chooses its way by a buffer of indices."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.tensor([1, 0]))
        self.parts = nn.ModuleList([nn.Linear(8, 80, bias=False), nn.Linear(8, 8, bias=False)])

    def forward(self, x):
        return self.parts[int(self.order[0])](x)


def test_indices_in_buffers_are_known_without_weights():
    summary = archscope.summary(Indexed, "8")
    assert summary.total.macs == 64
    assert summary.analysis.executed_on == "meta"


RESIDENT = """
import gc, resource, sys, torch
from torch import nn
from archscope.resolve import storage

class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(256, 2048))  # 2 MiB, filled and then on meta
        self.names = [object() for _ in range(2000)]  # splits what the heap got back

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

storage.build(Router)
before = peak()
module = storage.build(lambda: nn.Sequential(*(Router() for _ in range(200))))
assert all(param.is_meta for param in module.parameters())
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_parameters_that_were_filled_do_not_stay_resident():
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100  # 200 of 2 MiB are 400 MiB


def test_a_constructor_may_compute_with_large_tensors():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            table = torch.zeros(2**10, 2**9)
            table[:, 0::2] = torch.ones(2**10, 1)
            self.fc = nn.Linear(8, int(table.sum()) >> 14, bias=False)

        def forward(self, x):
            return self.fc(x)

    # Half of 2^19 elements are 1, and 2^18 >> 14 = 16.
    assert archscope.summary(Table, "8").total.macs == 8 * 16
