"""Any network and any call: each is counted exactly, or refused in one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential

import archscope
from archscope.api.answer import Summary


def mlp() -> nn.Sequential:
    """16 + 12 multiply-accumulates a sample; backward 16 + 2 · 12, the input needs no gradient."""
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))


def counted(network: Any, input: Any = "4", **options: Any) -> Summary:
    return archscope.summary(network, input, backward=True, **options)


def macs(summary: Summary) -> tuple[int, int | None]:
    return summary.total.macs, summary.total.macs_backward


class Generates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        yield self.fc(x)


class Awaits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    async def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        return y


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self(x)
        return y


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Generates(), "generator"),
        (Awaits(), "coroutine"),
        (Endless(), "recursion"),
        (nn.ModuleList([nn.Linear(4, 4)]), "forward"),
        (nn.Flatten(), "no output that needs a gradient"),
    ],
    ids=["generator", "coroutine", "endless", "no forward", "nothing to train"],
)
def test_what_cannot_be_counted_is_said_in_one_line(network: nn.Module, reason: str) -> None:
    with pytest.raises(archscope.ArchscopeError, match=reason) as caught:
        counted(network)
    assert len(str(caught.value).splitlines()) == 1


def test_lazy_modules_are_counted_at_the_sizes_they_will_take_and_stay_lazy() -> None:
    network = nn.Sequential(
        nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(5)
    )
    summary = counted(network, "2x8")
    assert summary.total.params == (2 * 3 + 1) * 4 + 2 * 4 + (24 + 1) * 5
    assert macs(summary) == (4 * 6 * 2 * 3 + 24 * 5, 4 * 6 * 2 * 3 + 2 * 24 * 5)
    assert all(map(nn.parameter.is_lazy, (network[0].weight, network[3].weight)))
    network[2].spare = nn.LazyLinear(7)  # never called: nobody knows its size
    assert counted(network, "2x8").total == summary.total


def with_hooks() -> nn.Module:
    network = mlp()
    network.register_forward_hook(lambda module, args, out: out * 2)
    network[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    network[2].register_full_backward_hook(lambda module, inner, outer: None)
    network[0].weight.register_hook(lambda gradient: gradient * 2)
    return network


def with_replaced_forward() -> nn.Module:
    network = mlp()
    network.forward = lambda x: network[2](network[0](x))  # type: ignore[method-assign]
    return network


class Renamed(torch.Tensor):
    """A subclass with a name alone."""


class Watching(torch.Tensor):
    """A subclass that sees every function called on it."""

    seen: list[str] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.seen.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


class Duck:
    """No tensor at all, but taken for one by PyTorch's functions."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*(arg.tensor if isinstance(arg, Duck) else arg for arg in args))


def with_tensor_subclass() -> nn.Module:
    network = mlp()
    network[0].weight = nn.Parameter(torch.zeros(4, 4).as_subclass(Renamed))
    return network


@pytest.mark.parametrize("build", [with_hooks, with_replaced_forward, with_tensor_subclass])
def test_unusual_modules(build: Callable[[], nn.Module]) -> None:
    assert macs(counted(build())) == (28, 40)


def test_unusual_inputs() -> None:
    assert macs(counted(mlp(), torch.zeros(2, 4).as_subclass(Renamed))) == (56, 80)
    assert macs(counted(mlp(), torch.zeros(2, 4).as_subclass(Watching))) == (56, 80)
    assert "linear" in Watching.seen
    assert archscope.summary(mlp(), (Duck(torch.zeros(2, 4)),)).total.macs == 56


def test_zero_sized_batches_cost_nothing() -> None:
    assert macs(counted(mlp(), torch.zeros(0, 4))) == (0, 0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 2),
    )  # fmt: skip
    summary = counted(network, torch.zeros(0, 3, 8, 8))
    assert macs(summary) == (0, 0)
    assert summary.layers[-1].output_shape == (0, 2)
    assert summary.total.params == 3 * 9 * 4 + 4 + 8 + 36 * 2 + 2


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor, depth: int = 3) -> Tensor:
        y = self.fc(x)
        return y if depth == 0 else self(y, depth - 1)


class Pyramid(nn.Module):
    """Calls itself on ever smaller images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y if y.shape[-1] == 4 else self(F.avg_pool2d(y, 2))


def test_a_module_may_call_itself() -> None:
    summary = counted(Recursive())
    assert macs(summary) == (4 * 16, 4 * 16 + 3 * 16)
    assert summary.total.params == 20
    assert counted(Pyramid(), "3x16x16").total.macs == 81 * (16 * 16 + 8 * 8 + 4 * 4)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight.t(), x.t() @ gradient


class CustomFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.weight = nn.Parameter(torch.zeros(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Product.apply(self.fc(x), self.weight)
        return y


def test_custom_autograd_functions_belong_to_the_module_that_applies_them() -> None:
    own, linear = counted(CustomFunction()).layers
    assert (own.macs, own.macs_backward) == (20, 40)
    assert (linear.macs, linear.macs_backward) == (16, 16)


class Checkpoints(nn.Module):
    def __init__(self, reentrant: bool = False) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = checkpoint_sequential(self.blocks, 2, x, use_reentrant=self.reentrant)
        return y


def test_checkpointed_segments_run_twice_and_are_listed_once() -> None:
    summary = counted(Checkpoints())
    assert [layer.kind for layer in summary.layers if layer.macs] == ["Linear"] * 4
    assert summary.total.macs == 64
    # Gradients: 16 of the first layer, 32 of the others; one segment of two runs again at least.
    assert summary.total.macs_backward in (16 + 3 * 32 + 16, 16 + 3 * 32 + 32)
    # A reentrant segment runs again as a whole, and its input must need a gradient.
    whole = counted(Checkpoints(reentrant=True), torch.zeros(1, 4, requires_grad=True))
    assert macs(whole) == (64, 4 * 32 + 2 * 16)


class Moves(nn.Module):
    def __init__(self, move: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.move = move

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.move(self, x))
        return y


MOVES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "x.cuda()": lambda module, x: x.cuda(),
    "x.to(name)": lambda module, x: x.to("cuda:0"),
    "x.to(cpu)": lambda module, x: x.to("cpu"),
    "module.cuda()": lambda module, x: module.cuda() and x,
    "module.to": lambda module, x: module.to("cpu") and x,
    "new tensor": lambda module, x: x + torch.ones(4, device="cuda"),
}


@pytest.mark.parametrize("name", MOVES)
def test_networks_that_move_themselves_need_no_such_device(name: str) -> None:
    network = Moves(MOVES[name])
    summary = archscope.summary(network, "4")
    assert summary.total.macs == 16
    assert summary.analysis.executed_on == "meta"
    elsewhere = name not in ("x.to(cpu)", "module.to")  # where the input is
    assert [note[:28] for note in summary.analysis.notes] == (
        ["This network names a device "] if elsewhere else []
    )
    assert network.fc.weight.device.type == "cpu"


def test_values_taken_to_numpy_force_a_real_run() -> None:
    class Doubles(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.cpu().numpy() * 2)

    assert archscope.summary(Doubles(), "4").analysis.executed_on == "cpu"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_precision_costs_the_same_and_moves_its_own_bytes(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU())
    single = counted(network, "3x8x8").total
    other = counted(network.to(dtype), "3x8x8").total
    assert (other.macs, other.macs_backward) == (single.macs, single.macs_backward)
    assert other.activation_bytes * 4 == single.activation_bytes * dtype.itemsize


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_a_complex_product_counts_as_four_real_ones() -> None:
    network = nn.Linear(4, 3).to(torch.complex64)
    assert counted(network, torch.zeros(2, 4, dtype=torch.complex64)).total.macs == 4 * 24


def test_networks_without_parameters() -> None:
    total = archscope.summary(nn.Sequential(nn.ReLU(), nn.Flatten()), "3x4x4").total
    assert (total.params, total.macs, total.elementwise) == (0, 0, 48)
    assert archscope.summary(nn.Sequential(), "3").total.macs == 0


def test_a_constructor_that_computes_with_its_parameters() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.scale = float(self.fc.weight.max())

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * self.scale

    assert counted(Scaled).total.macs == 16


def test_a_factory_may_return_a_network_that_is_in_use() -> None:
    network = mlp()
    counted(lambda: network)
    assert network[0].weight.device.type == "cpu"


def test_work_grows_linearly_to_five_thousand_layers() -> None:
    """Counted in steps of the interpreter's profiler, which no busy machine can change."""
    assert calls_made(5000) < 10.5 * calls_made(500)


def calls_made(depth: int) -> int:
    import sys

    network = nn.Sequential(*(nn.ReLU() for _ in range(depth)))
    steps = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal steps
        steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        archscope.summary(network, "4")
    finally:
        sys.setprofile(before)
    return steps
