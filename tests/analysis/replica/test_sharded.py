"""Modules under `fully_shard` count as they were before, and stay sharded."""

import pytest
import torch
from torch import nn

import archscope

distributed = pytest.importorskip("torch.distributed")


@pytest.fixture
def alone():
    """A group of this process alone."""
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("PyTorch was built without gloo")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_sharded_network_before_its_first_pass(alone):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard
    from torch.distributed.tensor import DTensor

    mesh = init_device_mesh("cpu", (1,))
    net = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False))
    for layer in (net[0], net[2], net):
        fully_shard(layer, mesh=mesh)
    total = archscope.summary(net, (torch.ones(2, 8),), backward=True)
    assert (total.total.macs, total.total.params) == (2 * 2 * 64, 2 * 64)
    assert total.total.macs_backward == 3 * 2 * 64  # of both weights, and of one input
    assert [layer.kind for layer in total.analysis.calls] == [
        "Sequential",
        "Linear",
        "ReLU",
        "Linear",
    ]
    assert isinstance(net[0], FSDPModule) and isinstance(net[0].weight, DTensor)
    assert len(net[0]._forward_pre_hooks) == 1
