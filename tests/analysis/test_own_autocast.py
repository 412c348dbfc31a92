"""Autocast that a network enters itself: what it computes on meta has the dtypes of a real run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope


class Casts(nn.Module):
    """Goes a dearer way the wider the dtype is of what a function makes of its layer's result."""

    def __init__(self, makes: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)
        self.wide, self.narrow = nn.Linear(8, 100, bias=False), nn.Linear(8, 10, bias=False)
        self.makes = makes

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = self.makes(self.layer(x))
        return (self.narrow if made.dtype is torch.bfloat16 else self.wide)(x)


X = torch.ones(2, 8)

MAKES: dict[str, Callable[[Tensor], Tensor]] = {
    "the layer": lambda h: h,
    "a product": lambda h: h.float() @ h.float().T,
    "an einsum": lambda h: torch.einsum("ij,kj->ik", h.float(), h.float()),
    "a convolution": lambda h: F.conv1d(h.float()[None], torch.ones(3, 2, 1)),
    "attention": lambda h: F.scaled_dot_product_attention(*[h.float()[None]] * 3),
    "softmax, which a GPU widens": lambda h: h.softmax(-1),
    "a normalisation": lambda h: F.layer_norm(h, (8,)),
    "a sum with float32": lambda h: h + X,
    "joined with float32": lambda h: torch.cat([h, X]),
    "a loss": lambda h: F.mse_loss(h, h),
    "a transform": lambda h: torch.fft.rfft(h).real,
    "double": lambda h: h.double() @ h.double().T,
    "off inside": lambda h: torch.autocast("cpu", enabled=False)(lambda: h.float() @ h.float().T)(),
}


@pytest.mark.parametrize("makes", MAKES.values(), ids=MAKES.keys())
def test_a_branch_on_a_dtype_is_that_of_a_real_run(makes: Callable[[Tensor], Tensor]) -> None:
    network = Casts(makes)
    chosen = network(X).shape[1]
    assert chosen in (10, 100)
    summary = archscope.summary(network, X)
    ran = {layer.name for layer in summary.analysis.layers if layer.called}
    assert ran - {""} == {"layer", "narrow" if chosen == 10 else "wide"}
    assert summary.analysis.executed_on == "meta"


def test_autocast_around_a_count_is_autocast_of_the_network() -> None:
    """A layer casts its weight of 8·8 and input of 2·8, and makes 2·8, of two bytes each."""
    network = nn.Linear(8, 8, bias=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = archscope.summary(network, X).total.activation_bytes
        assert torch.is_autocast_enabled("cpu")
    assert cast == 2 * (8 * 8 + 2 * 8 + 2 * 8)
    assert archscope.summary(network, X).total.activation_bytes == 4 * 2 * 8
    assert torch._C._len_torch_function_stack() == 0


def test_equal_blocks_inside_and_outside_are_no_repetition() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU()) for _ in range(2)
            )

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                self.blocks[0](x)
            y = self.blocks[1](x)
            assert y.dtype is torch.float32
            return y

    rows = {r.name: r.activation_bytes for r in archscope.summary(Blocks(), X).layers}
    assert rows["blocks.0.1"] == 2 * 2 * 8
    assert rows["blocks.1.1"] == 4 * 2 * 8


def test_a_gpu_widens_softmax_as_its_own_autocast_does() -> None:
    class OnGpu(Casts):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                made = self.layer(x)
                assert made.dtype is torch.bfloat16
                made = self.makes(made)
            return (self.narrow if made.dtype is torch.bfloat16 else self.wide)(x)

    network = OnGpu(lambda h: h.softmax(-1))
    rows = archscope.summary(network, X, device="cuda").analysis.layers
    assert "wide" in {layer.name for layer in rows if layer.called}


@pytest.mark.parametrize(("device", "kept"), [("cpu", 4 + 16 + 32), ("cuda", 32 + 32)])
def test_memory_keeps_what_autocast_makes_for_the_device_that_it_is_for(
    device: str, kept: int
) -> None:
    """In KiB: the input and the layer's result in bfloat16, and the float32 that the next takes.

    Without the casts, which a GPU does not make for the CPU's autocast, no copy of the input.
    """

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(64, 256), nn.Linear(256, 8)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                made = F.gelu(self.first(x))
            return torch.as_tensor(self.second(made.float()))

    step = archscope.memory(Mixed(), "64", batch=32, device=device).record
    assert sum(each.saved_bytes for each in step.saved if each.name != "loss") == kept * 1024


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize(("device", "said"), [(None, True), ("cpu", True), ("cuda", False)])
def test_autocast_for_a_gpu_says_that_a_cpu_casts_nothing(device: str | None, said: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cuda", dtype=torch.float16):
                return self.layer(x)

    notes = archscope.summary(Net(), (torch.ones(2, 8),), device=device).analysis.notes
    assert any("casts nothing on a CPU" in note for note in notes) is said
