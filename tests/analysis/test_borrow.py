"""A network is handed back as it was, whatever happened while it was lent."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import archscope
from tests.networks import Fails, SharedConvolution, Stateful, TiedWeights


def portrait(network: nn.Module) -> dict[str, Any]:
    """All that a user could notice of a network and of the process around it."""
    return {
        "tensors": {k: (id(v), v.clone(), v._version) for k, v in tensors(network)},
        "gradients": {k: None if p.grad is None else (id(p.grad), p.grad.clone())
                      for k, p in network.named_parameters()},
        "needs gradient": {k: p.requires_grad for k, p in network.named_parameters()},
        "training": [module.training for module in network.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
                  for m in network.modules()],
        "attributes": [{k: describe(v) for k, v in vars(m).items()} for m in network.modules()],
        "kinds": [type(module) for module in network.modules()],
        "random": (random.getstate(), torch.get_rng_state()),
        "call": (nn.Module.__call__, nn.Module._call_impl),
        "device": torch.get_default_device(),
        "gradient mode": torch.is_grad_enabled(),
        "fast attention": torch.backends.mha.get_fastpath_enabled(),
    }  # fmt: skip


def tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]


def describe(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value if isinstance(value, (int, float, str)) else id(value)


def same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[k], after[k]) for k in before)
    if isinstance(before, (tuple, list)):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def with_history(network: nn.Module) -> nn.Module:
    """Some modules in evaluation mode, one parameter frozen, one gradient there already."""
    modules = list(network.modules())
    modules[-1].eval()
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    network.register_forward_hook(lambda *arguments: None)
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (lambda: torchvision.models.resnet18(), (2, 3, 32, 32)),
    "densenet121": (lambda: torchvision.models.densenet121(), (2, 3, 32, 32)),
    "shared": (SharedConvolution, (1, 4, 5, 5)),
    "stateful": (Stateful, (2, 3, 4)),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))),
        (2, 4),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"backward": True}, {"backward": True, "train": True}])
def test_success_leaves_no_trace(name: str, options: dict[str, bool]) -> None:
    build, shape = NETWORKS[name]
    network, x = with_history(build()), torch.randn(shape, requires_grad=True)
    before = portrait(network)
    archscope.summary(network, x, **options)
    assert same(before, portrait(network))
    assert x.grad is None


def test_freezing_for_the_count_leaves_no_trace() -> None:
    network = torchvision.models.resnet18()
    before = portrait(network)
    archscope.summary(network, "3x32x32", backward=True, train_only="fc*")
    assert same(before, portrait(network))


def test_a_failure_half_way_leaves_no_trace() -> None:
    network = with_history(Fails())
    before = portrait(network)
    with pytest.raises(archscope.ArchscopeError, match="half-way"):
        archscope.summary(network, "3x8x8")
    assert same(before, portrait(network))


def test_control_c_leaves_no_trace() -> None:
    network = with_history(Fails(KeyboardInterrupt))
    before = portrait(network)
    with pytest.raises(KeyboardInterrupt):
        archscope.summary(network, "3x8x8", backward=True)
    assert same(before, portrait(network))


def test_a_real_run_leaves_no_trace() -> None:
    class Chooses(Stateful):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    network = with_history(Chooses())
    before = portrait(network)
    counted = archscope.summary(network, "3x4", backward=True, train=True, batch=2)
    assert counted.analysis.executed_on == "cpu"
    assert same(before, portrait(network))


def test_a_lazy_network_stays_lazy() -> None:
    network = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(5))
    counted = archscope.summary(network, "3x6x6")
    assert counted.total.params == (3 * 9 + 1) * 4 + (64 + 1) * 5
    assert [type(module) for module in network] == [nn.LazyConv2d, nn.Flatten, nn.LazyLinear]
    assert isinstance(network[0].weight, nn.parameter.UninitializedParameter)
    network(torch.randn(1, 3, 6, 6))


def test_tied_weights_stay_tied() -> None:
    network = TiedWeights()
    archscope.summary(network, "ids=3:int64")
    assert network.head.weight is network.embed.weight


def test_a_layer_that_ends_the_program_is_named() -> None:
    class Leaves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise SystemExit(3)

    network = nn.Sequential(nn.Linear(4, 4), Leaves())
    with pytest.raises(archscope.ArchscopeError, match=r"the code of 1 ends .*SystemExit: 3"):
        archscope.summary(network, "4")
