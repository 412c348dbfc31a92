"""A block that repeats an earlier one is not run again, and nobody can tell from the count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.ops import StochasticDepth

import archscope
from archscope.analysis import rules, trace
from archscope.ask.network.runs import count
from archscope.ask.target import network_target


def block(channels: int = 8, **options: Any) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, 3, padding=1, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


@pytest.fixture
def operators_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The name of every operator that was looked at, one entry each."""
    seen: list[str] = []
    observe = trace.Recorder._observe

    def watched(recorder: trace.Recorder, operator: Any, *rest: Any) -> None:
        seen.append(operator.name)
        observe(recorder, operator, *rest)

    monkeypatch.setattr(trace.Recorder, "_observe", watched)
    yield seen


def test_a_repeated_block_is_run_once(operators_run: list[str]) -> None:
    summary = archscope.summary(nn.Sequential(*(block() for _ in range(50))), "8x6x6")
    assert operators_run.count("aten::convolution") == 1
    total = summary.total
    assert total.macs == 50 * 8 * 8 * 9 * 36
    assert total.params == 50 * (8 * 8 * 9 + 8 + 16)


def test_its_layers_carry_their_own_names_and_parameters() -> None:
    layers, coverage = counted(nn.Sequential(block(), block()))
    assert [layer.name for layer in layers] == ["", "0", "0.0", "0.1", "0.2", "1", "1.0", "1.1",
                                                "1.2"]  # fmt: skip
    assert [layer.depth for layer in layers] == [0, 1, 2, 2, 2, 1, 2, 2, 2]
    assert [layer.params for layer in layers[6:]] == [8 * 8 * 9 + 8, 16, 0]
    assert coverage.counted == {"aten::convolution": 2}


def test_with_gradients_every_block_is_run(operators_run: list[str]) -> None:
    archscope.summary(nn.Sequential(block(), block()), "8x6x6", backward=True)
    assert operators_run.count("aten::convolution") == 2


def counted(model: Any, train: bool = False) -> Any:
    """Layers and coverage, never a kept count."""
    given = None if isinstance(model, str) else "8x6x6"
    return count(*network_target(model, input=given, batch=2).called(), train=train)[0]


def run_in_full(model: Any, patch: pytest.MonkeyPatch, train: bool = False) -> Any:
    with patch.context() as everything_runs:
        everything_runs.setattr(trace, "Repeats", lambda *_: None)
        return counted(model, train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "name",
    ["resnet50", "vit_b_32", "swin_t", "convnext_tiny", "maxvit_t", "efficientnet_b0",
     "mobilenet_v3_large", "regnet_y_400mf", "densenet121", "resnext50_32x4d", "resnet18_d2l",
     "fcn_resnet50"],
)  # fmt: skip
def test_the_count_is_that_of_a_full_run(
    name: str, train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counted(name, train) == run_in_full(name, monkeypatch, train)


class Counts(nn.Module):
    """Costs more each time, by a number that no instance holds."""

    times = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        type(self).times += 1
        for _ in range(type(self).times):
            x = self.inner(x)
        return x


def with_own_code() -> nn.Module:
    Counts.times = 0
    return nn.Sequential(nn.Sequential(Counts()), nn.Sequential(Counts()))


def with_a_hook() -> nn.Module:
    network = nn.Sequential(block(), block())
    network[1][0].register_forward_hook(lambda module, args, result: result + result)
    return network


def with_a_replaced_forward() -> nn.Module:
    network = nn.Sequential(block(), block())
    for part in network:
        part[2].forward = lambda x, part=part: x if part is network[0] else x @ x
    return network


def with_another_dilation() -> nn.Module:
    return nn.Sequential(block(), block(bias=False), block(dilation=2))


def changed_afterwards() -> nn.Module:
    network = nn.Sequential(block(), block())
    network[1][0].stride = (2, 2)
    return network


def sharing_a_part() -> nn.Module:
    shared = nn.Conv2d(8, 8, 3, padding=1)
    return nn.Sequential(*(nn.Sequential(shared, nn.BatchNorm2d(8)) for _ in range(3)))


class ChangesItself(nn.Module):
    """Doubles the stride of every convolution after each block that it runs."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.blocks:
            x = part(x)
            for convolution in self.blocks.modules():
                if isinstance(convolution, nn.Conv2d):
                    convolution.stride = (convolution.stride[0] * 2,) * 2
        return x


def sharing_a_part_that_changes() -> nn.Module:
    shared = nn.Conv2d(8, 8, 3, padding=1)
    return ChangesItself(*(nn.Sequential(shared, nn.BatchNorm2d(8)) for _ in range(2)))


def changed_between() -> nn.Module:
    return ChangesItself(block(), block())


class Remembers(nn.Module):
    """Known code that makes a table at its first call, as rotary embeddings do."""

    __module__ = "timm.tables"

    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None:
            self.table = x @ x
        return x + self.table


Remembers.forward.__module__ = "timm.tables"


def remembering() -> nn.Module:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(Remembers()) for _ in range(2)])

        def forward(self, x: Tensor) -> Tensor:
            for part in (*self.blocks, *self.blocks):
                x = part(x)
            return x

    return Twice()


def in_two_places() -> nn.Module:
    part = nn.ReLU()
    return nn.Sequential(nn.Sequential(part, part), nn.Sequential(nn.ReLU(), nn.ReLU()))


def changing_its_input() -> nn.Module:
    return nn.Sequential(*(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 8, 1))
                           for _ in range(3)))  # fmt: skip


def returning_its_input() -> nn.Module:
    """The sum of a tensor and itself reads it once."""

    class Doubles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(nn.Identity()) for _ in range(3)])

        def forward(self, x: Tensor) -> Tensor:
            for part in self.blocks:
                x = x + part(x)
            return x

    return Doubles()


def with_weight_norm() -> nn.Module:
    return nn.Sequential(
        *(nn.Sequential(parametrizations.weight_norm(nn.Conv2d(8, 8, 1))) for _ in range(2))
    )


def partly_in_training() -> nn.Module:
    """`summary` sets every module alike, so this one sets itself."""

    class SetsItself(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([block(), block(), block()])

        def forward(self, x: Tensor) -> Tensor:
            for number, part in enumerate(self.blocks):
                part.train(number == 1)
                x = part(x)
            return x

    return SetsItself()


def of_different_strides() -> nn.Module:
    class Permutes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(nn.Flatten(0), nn.ReLU())] * 0)
            self.first = nn.Sequential(nn.ReLU(), nn.Flatten(0))
            self.second = nn.Sequential(nn.ReLU(), nn.Flatten(0))

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) + self.second(x.transpose(2, 3))

    return Permutes()


def with_gradients_inside() -> nn.Module:
    class Differentiates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([block(), block()])

        def forward(self, x: Tensor) -> Tensor:
            x = self.blocks[0](x)
            with torch.enable_grad():
                x = x.requires_grad_()
                return torch.autograd.grad(self.blocks[1](x).sum(), x)[0]

    return Differentiates()


def skipping_at_random() -> nn.Module:
    return nn.Sequential(
        *(nn.Sequential(nn.Conv2d(8, 8, 1), StochasticDepth(p, "row")) for p in (0.0, 0.1, 0.2))
    )


NETWORKS: list[Callable[[], nn.Module]] = [
    with_own_code, with_a_hook, with_a_replaced_forward, with_another_dilation, changed_afterwards,
    sharing_a_part, sharing_a_part_that_changes, changed_between, remembering, in_two_places,
    changing_its_input, returning_its_input, with_weight_norm, partly_in_training,
    of_different_strides, with_gradients_inside, skipping_at_random,
]  # fmt: skip


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("make", NETWORKS)
def test_what_only_looks_repeated_is_run(
    make: Callable[[], nn.Module], train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counted(make(), train) == run_in_full(make(), monkeypatch, train)


def test_every_layer_with_an_unknown_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "lookup", lambda name: None)
    network = nn.Sequential(block(), block())
    assert {"0.0", "1.0"} <= set(counted(network)[1].unknown_layers)


def test_a_global_hook_runs_everything(operators_run: list[str]) -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        archscope.summary(nn.Sequential(block(), block()), "8x6x6")
    finally:
        handle.remove()
    assert operators_run.count("aten::convolution") == 2
