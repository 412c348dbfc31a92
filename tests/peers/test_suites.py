"""The operators that the suites of fvcore, PyTorch's counter, torchinfo and mmengine are about.

Each case is our own. PyTorch's counter runs it for real; where fvcore (whose handlers mmengine has
taken over) or torchinfo say something else, the difference is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import archscope

pytestmark = pytest.mark.filterwarnings("ignore")  # advice of tools on their own operators


class Runs(nn.Module):
    """A function of the inputs, and of a weight where it takes one."""

    def __init__(self, function: Callable[..., Tensor], *weight: int) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(weight)) if weight else None

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs, *([] if self.weight is None else [self.weight]))


def x(*shape: int) -> Tensor:
    return torch.ones(shape, requires_grad=True)


Case = tuple[nn.Module, tuple[Tensor, ...], int, int]
"""A network, its inputs, its multiply-accumulates, and what fvcore adds to them."""

CASES: dict[str, Case] = {
    "linear": (nn.Linear(6, 5), (x(3, 6),), 3 * 6 * 5, 0),
    "linear of sequences": (nn.Linear(6, 5, bias=False), (x(2, 3, 6),), 2 * 3 * 6 * 5, 0),
    "mm": (Runs(torch.mm, 4, 7), (x(3, 4),), 3 * 4 * 7, 0),
    "matmul by broadcasting": (Runs(torch.matmul, 4, 7), (x(2, 3, 4),), 2 * 3 * 4 * 7, 0),
    "bmm": (Runs(torch.bmm, 2, 4, 7), (x(2, 3, 4),), 2 * 3 * 4 * 7, 0),
    "addmm": (Runs(torch.addmm, 4, 7), (x(3, 7), x(3, 4)), 3 * 4 * 7, 0),
    # fvcore has no handler of baddbmm and says that it is left out
    "baddbmm": (Runs(torch.baddbmm, 2, 4, 7), (x(2, 3, 7), x(2, 3, 4)), 168, -168),
    "einsum of a product": (
        Runs(lambda a, w: torch.einsum("nij,jk->nik", a, w), 4, 7), (x(2, 3, 4),), 168, 0,
    ),
    "conv1d": (nn.Conv1d(3, 4, 5, stride=2), (x(2, 3, 11),), 2 * 4 * 4 * 3 * 5, 0),
    "conv2d": (nn.Conv2d(3, 4, (3, 1), padding=1), (x(1, 3, 6, 5),), 4 * 6 * 7 * 3 * 3, 0),
    "conv2d dilated": (nn.Conv2d(3, 4, 3, dilation=2), (x(1, 3, 7, 8),), 4 * 3 * 4 * 3 * 9, 0),
    "conv2d in groups": (nn.Conv2d(4, 8, 3, groups=2), (x(1, 4, 5, 5),), 8 * 9 * 2 * 9, 0),
    "conv3d": (nn.Conv3d(2, 3, 2), (x(1, 2, 4, 3, 3),), 3 * 3 * 2 * 2 * 2 * 8, 0),
    "transposed conv2d": (
        nn.ConvTranspose2d(3, 4, 3, stride=2), (x(1, 3, 5, 6),), 3 * 5 * 6 * 4 * 9, 0,
    ),
    # fvcore: two operations an element where the statistics are kept
    "batch normalisation": (nn.BatchNorm2d(3), (x(2, 3, 4, 5),), 0, 2 * 2 * 3 * 4 * 5),
    # fvcore: five operations an element of the others, four without scale and shift
    "layer normalisation": (nn.LayerNorm(6), (x(2, 3, 6),), 0, 5 * 2 * 3 * 6),
    "layer normalisation, plain": (
        nn.LayerNorm(6, elementwise_affine=False), (x(2, 3, 6),), 0, 4 * 2 * 3 * 6,
    ),
    "group normalisation": (nn.GroupNorm(2, 4), (x(2, 4, 3, 3),), 0, 5 * 2 * 4 * 3 * 3),
    # fvcore: one operation an element that is read
    "adaptive pooling": (nn.AdaptiveAvgPool2d(2), (x(1, 3, 6, 6),), 0, 3 * 6 * 6),
    # fvcore: four operations an element of bilinear resizing, one of copying the nearest
    "bilinear resizing": (
        nn.Upsample(scale_factor=2, mode="bilinear"), (x(1, 3, 4, 5),), 0, 4 * 3 * 8 * 10,
    ),
    "nearest resizing": (nn.Upsample(scale_factor=2), (x(1, 3, 4, 5),), 0, 3 * 8 * 10),
    "activations and pooling": (
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Softmax(1)), (x(1, 3, 6, 6),), 0, 0,
    ),
    # fvcore has no handler of the fused kernel
    "attention": (
        Runs(F.scaled_dot_product_attention, 2, 3, 5, 4), (x(2, 3, 5, 4), x(2, 3, 5, 4)),
        2 * (2 * 3 * 5 * 5 * 4), -2 * (2 * 3 * 5 * 5 * 4),
    ),
}  # fmt: skip


def counted_by_pytorch(network: nn.Module, inputs: tuple[Tensor, ...], backward: bool) -> int:
    # it knows none of the kernels that attention has on a CPU
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        outputs = network(*inputs)
        if backward:
            outputs.sum().backward()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("case", CASES)
def test_forward_agrees_with_pytorch_and_the_difference_to_fvcore_is_known(case: str) -> None:
    network, inputs, macs, more = CASES[case]
    network.eval()
    assert archscope.summary(network, inputs).total.macs == macs
    assert counted_by_pytorch(network, inputs, backward=False) == macs
    from fvcore.nn import FlopCountAnalysis  # warns where it is imported

    analysis = FlopCountAnalysis(network, inputs)
    analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    assert analysis.total() == macs + more


@pytest.mark.parametrize("case", CASES)
def test_backward_agrees_with_pytorch_or_the_difference_is_known(case: str) -> None:
    network, inputs, macs, _ = CASES[case]
    network.eval()
    total = archscope.summary(network, inputs, backward=True).total
    theirs = counted_by_pytorch(network, inputs, backward=True)
    assert total.macs_backward is not None
    # groups: PyTorch's counter multiplies the weight's gradient by their number, here 2
    known = {"conv2d in groups": macs}
    assert theirs - (macs + total.macs_backward) == known.get(case, 0)


def test_a_product_with_a_vector_is_counted_where_the_others_have_no_handler() -> None:
    assert archscope.summary(Runs(torch.matmul, 4), (x(3, 4),)).total.macs == 3 * 4


RECURRENT: dict[str, tuple[Any, int]] = {
    # steps · batch · gates · hidden · (input + hidden)
    "RNN": (nn.RNN(5, 6, bias=False), 4 * 2 * 1 * 6 * (5 + 6)),
    "LSTM": (nn.LSTM(5, 6, bias=False), 4 * 2 * 4 * 6 * (5 + 6)),
    "GRU in both directions": (
        nn.GRU(5, 6, bias=False, bidirectional=True), 2 * 4 * 2 * 3 * 6 * (5 + 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RECURRENT)
def test_recurrent_layers_are_counted_where_the_others_have_no_operator(case: str) -> None:
    network, macs = RECURRENT[case]
    assert archscope.summary(network, (x(4, 2, 5),)).total.macs == macs


class Reused(nn.Module):
    """One layer called three times, one that never runs, and a parameter of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.unused = nn.Linear(4, 4), nn.Linear(4, 9)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.again(self.again(self.again(x)))


def test_layers_called_again_count_their_work_and_not_their_parameters_again() -> None:
    total = archscope.summary(Reused(), (x(2, 4),)).total
    assert total.params == (4 * 4 + 4) + (4 * 9 + 9) + 4
    assert total.macs == 3 * 2 * 4 * 4


@pytest.mark.parametrize(
    ("network", "shape", "more"),
    [
        # torchinfo multiplies each parameter by the positions it serves, the bias too
        (nn.Conv2d(3, 8, 3), (2, 3, 6, 6), 2 * 8 * 4 * 4),
        # of a layer without positions, by the batch
        (nn.Linear(6, 5), (3, 6), 3 * 5),
        (nn.Linear(6, 5, bias=False), (3, 6), 0),
        (nn.BatchNorm2d(3), (2, 3, 4, 4), 2 * 2 * 3),
    ],
    ids=["conv", "linear", "linear without a bias", "normalisation"],
)
def test_torchinfo_adds_what_it_counts_of_biases_and_scales(
    network: nn.Module, shape: tuple[int, ...], more: int
) -> None:
    torchinfo = pytest.importorskip("torchinfo")
    theirs = torchinfo.summary(network, input_size=shape, verbose=0)
    total = archscope.summary(network, input_size=shape).total
    assert theirs.total_params == total.params
    assert theirs.total_mult_adds - total.macs == more
