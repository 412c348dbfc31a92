"""A network is built without storage, and building leaves no trace."""

import gc
import random
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, empty, nn, zeros

from archscope.resolve import network, weightless, weightless_copy
from archscope.resolve.storage import build, build_with_storage


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(module: nn.Module) -> bool:
    return all(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))


def surroundings() -> dict[str, Any]:
    """Everything that a build patches or may disturb."""
    from torchvision.models._api import WeightsEnum

    layers = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.Embedding)
    return {
        **{f"init.{key}": value for key, value in vars(nn.init).items() if callable(value)},
        **{key: getattr(torch, key) for key in ("empty", "zeros", "ones", "tensor")},
        **{layer.__name__: layer.reset_parameters for layer in layers},
        "register_parameter": nn.Module.register_parameter,
        "load_state_dict": nn.Module.load_state_dict,
        "get_state_dict": WeightsEnum.get_state_dict,
        "collector": gc.isenabled(),
        "default device": torch.get_default_device(),
        "random": random.getstate(),
        "torch": torch.get_rng_state().tolist(),
    }


class WidthsFromTensors(nn.Module):
    """RegNet's way: widths are computed with real tensors."""

    def __init__(self) -> None:
        super().__init__()
        widths = torch.linspace(8, 32, 4).round().int().tolist()
        self.layers = nn.ModuleList(nn.Linear(8, width) for width in widths)
        self.own = nn.Parameter(torch.randn(7))


class ComputesWithParameters(nn.Module):
    """Needs the values of its own parameters to construct itself, so meta alone fails."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.tied = self.weight
        self.scale = float(self.weight.detach().sum())
        self.register_buffer("mean", torch.ones(2))
        self.recurrent = nn.LSTM(3, 4)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shared = nn.Parameter(torch.randn(5, 5))
        self.first = shared
        self.second = shared
        self.register_buffer("mask", torch.ones(3))
        self.same_mask: Tensor
        self.register_buffer("same_mask", self.mask)


def raises(error: type[BaseException]) -> Callable[[], nn.Module]:
    def construct() -> nn.Module:
        nn.Linear(2, 2)
        raise error("half-way")

    return construct


@pytest.mark.parametrize("constructor", [WidthsFromTensors, ComputesWithParameters, Tied])
def test_all_parameters_and_buffers_are_on_meta(constructor: Callable[[], nn.Module]) -> None:
    module = build(constructor)
    assert on_meta(module)
    assert not module.training
    assert params(module) == params(constructor())


@pytest.mark.parametrize("constructor", [ComputesWithParameters, Tied])
def test_what_is_shared_stays_shared(constructor: Callable[[], nn.Module]) -> None:
    built, ordinary = build(constructor), constructor()
    assert len(list(built.parameters())) == len(list(ordinary.parameters()))
    assert len(list(built.buffers())) == len(list(ordinary.buffers()))


def test_a_recurrent_layer_runs_on_meta_after_the_move() -> None:
    module = build(ComputesWithParameters)
    output, _ = module.recurrent(torch.empty(5, 1, 3, device="meta"))
    assert output.shape == (5, 1, 4)


def test_frozen_parameters_stay_frozen() -> None:
    def frozen() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 4))

    assert [p.requires_grad for p in build(frozen).parameters()] == [False, False, True, True]


def test_lazy_layers_stay_lazy() -> None:
    module = build(lambda: nn.Sequential(nn.LazyLinear(4)))
    assert module(torch.empty(2, 3, device="meta")).shape == (2, 4)


@pytest.mark.parametrize(
    "name", ["resnet18", "regnet_y_400mf", "swin_t", "fasterrcnn_resnet50_fpn", "raft_small"]
)
def test_building_leaves_no_trace(name: str) -> None:
    before = surroundings()
    network(name)
    assert surroundings() == before


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyboardInterrupt, SystemExit])
def test_a_constructor_that_raises_leaves_no_trace(error: type[BaseException]) -> None:
    before = surroundings()
    with pytest.raises(error, match="half-way"):
        build(raises(error))
    with pytest.raises(error, match="half-way"):
        build_with_storage(raises(error))
    assert surroundings() == before


def test_the_context_manager_restores_after_an_exception() -> None:
    before = surroundings()
    with pytest.raises(KeyboardInterrupt), weightless():
        assert nn.Linear(3, 4).weight.is_meta
        raise KeyboardInterrupt
    assert surroundings() == before
    assert not nn.Linear(3, 4).weight.is_meta


def test_random_draws_of_a_constructor_are_taken_back() -> None:
    def drawing() -> nn.Module:
        return nn.Linear(random.randint(1, 9), int(torch.randint(1, 9, ())))

    before = surroundings()
    build(drawing)
    build_with_storage(drawing)
    assert surroundings() == before


def test_the_collector_runs_again_afterwards_but_a_paused_one_stays_paused() -> None:
    gc.enable()
    build(WidthsFromTensors)
    assert gc.isenabled()
    gc.disable()
    try:
        build(WidthsFromTensors)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_network_of_more_than_a_billion_parameters_needs_no_memory() -> None:
    def large() -> nn.Module:
        return nn.Sequential(*(nn.Linear(10_000, 10_000) for _ in range(12)))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    module = build(large)
    added_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert params(module) == 12 * (10_000 * 10_000 + 10_000)
    assert added_bytes < 300e6


@pytest.mark.parametrize("make", [empty, zeros, partial(torch.full, fill_value=1.0), torch.Tensor,
                                  lambda *size: torch.empty_strided(size, (2**20, 1, 2**10))],
                         ids=["empty", "zeros", "full", "Tensor", "strides"])  # fmt: skip
def test_large_memory_is_on_meta_by_whatever_name(make: Callable[..., Tensor]) -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            size = (256, 2**10, 2**10)
            self.weights = make(size) if isinstance(make, partial) else make(*size)
            self.sides = make((2, 2)) if isinstance(make, partial) else torch.ones(2, 2)

    module: Any = build(Experts)
    assert module.weights.is_meta
    assert not module.sides.is_meta
    assert not torch.empty(2**22).is_meta


def test_with_storage_is_the_same_network_initialised_alike_each_time() -> None:
    found = network("resnet18")
    before = surroundings()
    first, second = found.with_storage(), found.with_storage()
    assert surroundings() == before
    assert first.fc.weight.std() > 0
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert {k: v.shape for k, v in first.state_dict().items()} == {
        k: v.shape for k, v in found.module.state_dict().items()
    }


def test_a_copy_leaves_the_original_alone() -> None:
    original = Tied()
    state = {key: value.clone() for key, value in original.state_dict().items()}
    attributes = [dict(parameter.__dict__) for parameter in original.parameters()]
    copied = weightless_copy(original)
    assert on_meta(copied)
    assert copied.first is copied.second
    assert copied.mask is copied.same_mask
    assert original.training
    assert [dict(parameter.__dict__) for parameter in original.parameters()] == attributes
    assert all(torch.equal(state[key], value) for key, value in original.state_dict().items())
