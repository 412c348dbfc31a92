"""A file of small networks for the commands that measure."""

from pathlib import Path

import pytest

from archscope.measure import device as devices

NETWORKS = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=4):
        super().__init__(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                         nn.Flatten(), nn.Linear(36 * width, 5))

class Bracketed(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("[loss]", "[optimizer]"):
            self.add_module(name, nn.Linear(8, 8))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x.flatten(1)

class Frozen(Net):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class Greedy(Net):
    def forward(self, x):
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)
"""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(devices, "measure_peaks", lambda device: {"fp32": 1e11, "copy": 1e10})
    file = tmp_path / "nets.py"
    file.write_text(NETWORKS)
    return str(file)
