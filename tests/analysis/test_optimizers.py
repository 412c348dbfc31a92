"""What optimisers keep, against PyTorch's own and bitsandbytes'."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archscope.analysis.optimizers import Optimizer


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_is_what_pytorch_keeps(name, make, dtype):
    network = nn.Linear(5, 7).to(dtype)
    optimizer = make(network.parameters())
    network(torch.ones(2, 5, dtype=dtype)).sum().backward()
    optimizer.step()
    state = [t for entry in optimizer.state.values() for t in entry.values()]
    kept = sorted(t.nbytes for t in state if torch.is_tensor(t) and t.dim())
    assert kept == sorted(Optimizer(name).state(list(network.parameters())))


@pytest.mark.parametrize("name", ["Adam8bit", "AdamW8bit"])
def test_state_of_eight_bits_is_what_bitsandbytes_keeps(name):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    network = nn.Linear(100, 90)  # 9,000 weights in 8 bits; 90 biases are too few and stay
    optimizer = getattr(bitsandbytes.optim, name)(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for number, parameter in enumerate(network.parameters()):
        optimizer.init_state(optimizer.param_groups[0], parameter, 0, number)
    held = {
        id(t): t.nbytes
        for entry in optimizer.state.values()
        for t in entry.values()
        if torch.is_tensor(t)
    }
    assert sum(Optimizer(name.lower()).state(list(network.parameters()))) == sum(held.values())


def test_master_weights_keep_everything_in_float32():
    half = [nn.Parameter(torch.empty(10, dtype=torch.bfloat16))]
    adam = Optimizer("adam", master_weights=True)
    assert sum(adam.state(half)) == 10 * (4 + 4 + 4)  # weights and two moments
    assert adam.update(half) == 10 * (4 + 4)  # gradient and root
    assert sum(Optimizer("sgd", master_weights=True).state(half)) == 10 * 4


def test_the_update_of_adam_holds_what_its_form_needs():
    """As torch/optim/adam.py has it: the roots of all second moments, or of one and a quotient."""
    parameters = [nn.Parameter(torch.empty(n)) for n in (10, 30, 20)]
    assert Optimizer("adam", "foreach").update(parameters) == 4 * 60
    assert Optimizer("adam", "for-loop").update(parameters) == 4 * (10 + 2 * 30)
    assert Optimizer("adam", "fused").update(parameters) == 0
    assert Optimizer("adamw8bit").update(parameters) == 0
    assert Optimizer("momentum").update(parameters) == 0
