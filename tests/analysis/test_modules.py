"""Every module of `torch.nn`, forward and backward: each operator has a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

import archscope

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's advice on arguments


def real(*shape: int) -> Tensor:
    return torch.rand(shape, requires_grad=True)


def labels(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape)


class Calls(nn.Module):
    """A module called as a network would: from something computed, with options, in part."""

    def __init__(self, call: Callable[..., Any], part: nn.Module | None = None) -> None:
        super().__init__()
        self.call, self.part = call, part

    def forward(self, *inputs: Tensor) -> Any:
        return self.call(*inputs) if self.part is None else self.call(self.part, *inputs)


def after_a_product(part: nn.Module) -> Calls:
    """No module may overwrite a leaf that needs a gradient."""
    return Calls(lambda part, x: part(2 * x), part)


Case = tuple[str, nn.Module, tuple[Any, ...]]


def activations() -> Iterator[Case]:
    for kind in (
        nn.CELU, nn.ELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.ReLU,
        nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU,
    ):  # fmt: skip
        yield kind.__name__, kind(), (real(2, 8),)
        yield f"{kind.__name__} in place", after_a_product(kind(inplace=True)), (real(2, 8),)
    for plain in (
        nn.GELU, nn.GLU, nn.Hardshrink, nn.LogSigmoid, nn.PReLU, nn.Sigmoid, nn.Softplus,
        nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
    ):  # fmt: skip
        yield plain.__name__, plain(), (real(2, 8),)
    for softmax in (nn.Softmax, nn.Softmin, nn.LogSoftmax):
        yield softmax.__name__, softmax(dim=1), (real(2, 8),)
    yield "Softmax2d", nn.Softmax2d(), (real(2, 4, 6, 6),)
    yield "GELU, tanh", nn.GELU("tanh"), (real(2, 8),)
    yield "Threshold", nn.Threshold(0.1, 1), (real(2, 8),)
    yield "Threshold in place", after_a_product(nn.Threshold(0.1, 1, inplace=True)), (real(2, 8),)
    yield "AdaptiveLogSoftmaxWithLoss", nn.AdaptiveLogSoftmaxWithLoss(32, 20, [5, 10]), (
        real(4, 32), labels(20, 4),
    )  # fmt: skip


def images(dims: int) -> tuple[Tensor]:
    return (real(2, 4, *(12,) * dims),)


def of_dimension(dims: int) -> Iterator[Case]:
    """Convolutions, pools, norms, paddings, dropout and upsampling of one to three dimensions."""

    def module(kind: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(nn, f"{kind}{dims}d")(*args, **kwargs)

    cases: dict[str, nn.Module] = {
        "Conv": module("Conv", 4, 4, 3, groups=2),
        "ConvTranspose": module("ConvTranspose", 4, 4, 3, stride=2),
        "MaxPool": module("MaxPool", 3, 2, 1, dilation=2, ceil_mode=True),
        "MaxPool, indices": module("MaxPool", 2, return_indices=True),
        "AvgPool": module("AvgPool", 3, 2, 1),
        "LPPool": module("LPPool", 2, 2),
        "AdaptiveMaxPool, indices": module("AdaptiveMaxPool", 3, return_indices=True),
        "BatchNorm, no statistics": module("BatchNorm", 4, track_running_stats=False),
        "InstanceNorm, affine": module("InstanceNorm", 4, affine=True, track_running_stats=True),
        "ConstantPad": module("ConstantPad", 1, 0.5),
        "Dropout": module("Dropout"),
        "Dropout, in place": after_a_product(module("Dropout", inplace=True)),
        "LocalResponseNorm": nn.LocalResponseNorm(3),
        "GroupNorm": nn.GroupNorm(2, 4),
        "SyncBatchNorm": nn.SyncBatchNorm(4),
    }
    cases["MaxUnpool"] = Calls(
        lambda unpool, x: unpool(*getattr(F, f"max_pool{dims}d")(x, 2, return_indices=True)),
        module("MaxUnpool", 2),
    )
    for kind in ("AdaptiveAvgPool", "AdaptiveMaxPool"):
        for size in (1, 3, 5):
            cases[f"{kind}, {size}"] = module(kind, size)
    for kind in ("BatchNorm", "InstanceNorm", "LazyBatchNorm", "LazyInstanceNorm"):
        cases[kind] = module(kind, 4) if kind[0] != "L" else module(kind)
    for kind in ("LazyConv", "LazyConvTranspose"):
        cases[kind] = module(kind, 4, 3)
    for kind in ("CircularPad", "ReflectionPad", "ReplicationPad", "ZeroPad"):
        cases[kind] = module(kind, 1)
    for mode in ("reflect", "replicate", "circular"):
        cases[f"Conv, {mode}"] = module("Conv", 4, 4, 3, padding=1, padding_mode=mode)
    if dims > 1:
        cases["FractionalMaxPool"] = module("FractionalMaxPool", 3, output_size=5)
    smooth = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}[dims]
    for mode in ("nearest", "nearest-exact", *smooth):
        cases[f"Upsample, {mode}"] = nn.Upsample(scale_factor=2, mode=mode)
        cases[f"Upsample, {mode}, to a size"] = nn.Upsample(size=7, mode=mode)
    for name, case in cases.items():
        yield f"{name}, {dims}-d", case, images(dims)


def of_maps() -> Iterator[Case]:
    """What has one form alone, for maps of two dimensions or none."""
    for case in (
        nn.UpsamplingBilinear2d(scale_factor=2), nn.UpsamplingNearest2d(scale_factor=2),
        nn.CrossMapLRN2d(3), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2),
        nn.Unfold(3), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.Dropout(), nn.Flatten(),
        nn.Identity(), nn.Unflatten(1, (2, 2)), nn.LayerNorm(12), nn.RMSNorm(12),
    ):  # fmt: skip
        yield type(case).__name__, case, images(2)
    yield "Fold", nn.Fold((6, 6), 3), (real(2, 9, 16),)
    for mode in ("bilinear", "bicubic"):
        smaller = Calls(lambda x, mode=mode: F.interpolate(x, size=5, mode=mode, antialias=True))
        yield f"antialiased, {mode}", smaller, images(2)
    for dims in (2, 3):
        warp = Calls(lambda x, by: F.grid_sample(x, F.affine_grid(by, x.shape)))
        yield f"spatial transformer, {dims}-d", warp, (*images(dims), real(2, dims, dims + 1))


def dense_and_embedded() -> Iterator[Case]:
    yield "Linear", nn.Linear(8, 4), (real(2, 8),)
    yield "LazyLinear", nn.LazyLinear(4), (real(2, 8),)
    yield "Bilinear", nn.Bilinear(8, 4, 3), (real(2, 8), real(2, 4))
    ids = labels(10, 2, 5)
    yield "Embedding", nn.Embedding(10, 4, padding_idx=0), (ids,)
    yield "Embedding, bounded", nn.Embedding(10, 4, max_norm=1, scale_grad_by_freq=True), (ids,)
    for mode in ("sum", "mean", "max"):
        bags = nn.EmbeddingBag(10, 4, mode=mode, padding_idx=0)
        yield f"EmbeddingBag, {mode}", bags, (ids,)
        yield f"EmbeddingBag, {mode}, offsets", bags, (ids.flatten(), torch.tensor([0, 4]))
    weighted = Calls(
        lambda bag, ids, weights: bag(ids, per_sample_weights=weights),
        nn.EmbeddingBag(10, 4, mode="sum"),
    )
    yield "EmbeddingBag, weighted", weighted, (ids, real(2, 5))


def recurrent() -> Iterator[Case]:
    def packed(layer: nn.Module, x: Tensor) -> Tensor:
        pack = nn.utils.rnn.pack_padded_sequence(x, [3, 2])
        return nn.utils.rnn.pad_packed_sequence(layer(pack)[0])[0]

    x = real(3, 2, 4)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        name = kind.__name__
        yield name, kind(4, 6), (x,)
        yield f"{name}, deep", kind(4, 6, 2, bidirectional=True, dropout=0.1), (x,)
        yield f"{name}, no bias", kind(4, 6, bias=False, batch_first=True), (x,)
        yield f"{name}, packed", Calls(packed, kind(4, 6)), (x,)
        yield f"{name}, on values", Calls(_asks_for_a_value, kind(4, 6)), (x,)
    yield "LSTM, projected", nn.LSTM(4, 6, proj_size=3), (x,)
    yield "RNN, ReLU", nn.RNN(4, 6, nonlinearity="relu"), (x,)
    for cell in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
        yield cell.__name__, cell(4, 6), (real(2, 4),)


def _asks_for_a_value(layer: nn.Module, x: Tensor) -> Tensor:
    """So that it runs on the CPU, whose fused kernels no other run meets."""
    output: Tensor = layer(x)[0]
    return output * 2 if x.sum().item() > 0 else output


def attention() -> Iterator[Case]:
    x = real(2, 5, 8)
    yield "MultiheadAttention", nn.MultiheadAttention(8, 2, dropout=0.1), (x, x, x)
    extended = nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)
    yield "MultiheadAttention, extended", extended, (x, x, x)
    for name in ("relu", "gelu"):
        encoder = nn.TransformerEncoderLayer(8, 2, 16, activation=name)
        decoder = nn.TransformerDecoderLayer(8, 2, 16, activation=name, norm_first=True)
        yield f"TransformerEncoderLayer, {name}", encoder, (x,)
        yield f"TransformerDecoderLayer, {name}", decoder, (x, x)
    yield "TransformerEncoder", nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False), (x,)
    yield "TransformerDecoder", nn.TransformerDecoder(decoder, 2), (x, x)
    yield "Transformer", nn.Transformer(8, 2, 1, 1, 16), (x, x)


def distances() -> Iterator[Case]:
    yield "CosineSimilarity", nn.CosineSimilarity(), (real(2, 8), real(2, 8))
    for order in (1.0, 2.0, 3.0, float("inf")):
        yield f"PairwiseDistance, {order}", nn.PairwiseDistance(order), (real(2, 8), real(2, 8))
        far = Calls(lambda x, y, order=order: torch.cdist(x, y, order))
        yield f"cdist, {order}", far, (real(2, 30, 8), real(2, 40, 8))
        yield f"pdist, {order}", Calls(lambda x, order=order: F.pdist(x, order)), (real(6, 8),)


def losses(reduction: str) -> Iterator[Case]:
    x, y, signs = real(4, 8), torch.rand(4, 8), torch.ones(4)
    how: dict[str, Any] = {"reduction": reduction}
    for kind in (
        nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss, nn.HuberLoss, nn.KLDivLoss, nn.PoissonNLLLoss,
        nn.BCELoss, nn.BCEWithLogitsLoss, nn.HingeEmbeddingLoss, nn.SoftMarginLoss,
        nn.MultiLabelSoftMarginLoss,
    ):  # fmt: skip
        yield kind.__name__, kind(**how), (x, y)
    for chosen in (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss):
        name, weights = chosen.__name__, torch.rand(8)
        yield name, chosen(**how), (x, labels(8, 4))
        yield f"{name}, weighted", chosen(weight=weights, **how), (x, labels(8, 4))
    yield "CrossEntropyLoss, smoothed", nn.CrossEntropyLoss(label_smoothing=0.1, **how), (x, y)
    yield "NLLLoss of maps", nn.NLLLoss(**how), (real(4, 8, 3, 3), labels(8, 4, 3, 3))
    yield "MultiLabelMarginLoss", nn.MultiLabelMarginLoss(**how), (x, labels(8, 4, 8))
    yield "CosineEmbeddingLoss", nn.CosineEmbeddingLoss(**how), (x, real(4, 8), signs)
    yield "MarginRankingLoss", nn.MarginRankingLoss(**how), (real(4), real(4), signs)
    yield "GaussianNLLLoss", nn.GaussianNLLLoss(**how), (x, y, torch.rand(4, 8))
    for triplet in (nn.TripletMarginLoss, nn.TripletMarginWithDistanceLoss):
        yield triplet.__name__, triplet(swap=True, **how), (x, real(4, 8), real(4, 8))
    yield "CTCLoss", nn.CTCLoss(**how), (
        real(10, 2, 5), 1 + labels(4, 2, 4), torch.tensor([10, 9]), torch.tensor([4, 3]),
    )  # fmt: skip
    if hasattr(nn, "LinearCrossEntropyLoss"):  # of PyTorch 2.15
        fused = nn.LinearCrossEntropyLoss(8, 5, **how)
        yield "LinearCrossEntropyLoss", fused, (x, labels(5, 4))


def of_torchvision() -> Iterator[Case]:
    boxes = torch.tensor([[0.0, 0, 0, 4, 4], [0, 1, 1, 5, 5]])
    ops = torchvision.ops
    for pool in (ops.RoIAlign(2, 1.0, 2), ops.PSRoIAlign(2, 1.0, 2),
                 ops.RoIPool(2, 1.0), ops.PSRoIPool(2, 1.0)):  # fmt: skip
        yield type(pool).__name__, pool, (real(1, 8, 8, 8), boxes)
    offsets, mask = real(1, 18, 8, 8), real(1, 9, 8, 8)
    yield "DeformConv2d", ops.DeformConv2d(4, 6, 3, padding=1), (real(1, 4, 8, 8), offsets, mask)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    **{group.__name__: group for group in (
        activations, of_maps, dense_and_embedded, recurrent, attention, distances, of_torchvision,
    )},
    **{f"of {dims} dimensions": partial(of_dimension, dims) for dims in (1, 2, 3)},
    **{f"losses, {reduction}": partial(losses, reduction) for reduction in ("none", "mean")},
}  # fmt: skip

NO_LAYERS = {
    "Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "NLLLoss2d", "ParameterDict",
    "ParameterList", "RNNBase", "RNNCellBase", "Sequential",
}  # fmt: skip
"""Containers, bases of others, and an old name of NLLLoss."""


def counted(layer: nn.Module, inputs: tuple[Any, ...], **options: Any) -> archscope.Summary:
    return archscope.summary(layer, inputs if len(inputs) > 1 else inputs[0], **options)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("group", GROUPS)
def test_no_operator_is_without_a_formula(group: str, train: bool) -> None:
    unknown = {
        name: set(counted(layer, inputs, backward=True, train=train).coverage.unknown)
        for name, layer, inputs in GROUPS[group]()
    }
    assert {name: operators for name, operators in unknown.items() if operators} == {}


def test_every_module_is_here() -> None:
    layers = {name for name, kind in vars(nn).items()
              if isinstance(kind, type) and issubclass(kind, nn.Module)}  # fmt: skip
    cases = (layer for group in GROUPS.values() for _, layer, _ in group())
    names = {type(part).__name__ for layer in cases for part in layer.modules()}
    assert layers - names <= NO_LAYERS


def test_a_loss_is_at_least_one_operation_an_element() -> None:
    for reduction in ("none", "mean"):
        for name, layer, inputs in losses(reduction):
            elements = inputs[0].numel()
            assert counted(layer, inputs).total.elementwise >= elements, f"{name}, {reduction}"


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_a_sparse_gradient_holds_the_rows_that_were_looked_up(kind: Any) -> None:
    layer = kind(1000, 4, sparse=True)
    assert counted(layer, (labels(10, 2, 5),)).coverage.complete
    summary = counted(layer, (labels(10, 2, 5),), backward=True)
    assert summary.coverage.complete
    moved = summary.total.bytes_moved_backward
    assert moved is not None and moved < 1000 * 4 * 4


def elementwise(layer: nn.Module, *inputs: Any) -> tuple[int, int]:
    """Operations forward and backward."""
    layers = counted(layer, inputs, backward=True).analysis.layers
    backward = (layer.backward.elementwise for layer in layers if layer.backward is not None)
    return sum(layer.forward.elementwise for layer in layers), sum(backward)


def test_fractional_pooling_looks_at_windows() -> None:
    assert elementwise(nn.FractionalMaxPool2d(3, output_size=5), *images(2))[0] == 2 * 4 * 25 * 9
    assert elementwise(nn.FractionalMaxPool3d(2, output_size=5), *images(3))[0] == 2 * 4 * 125 * 8


def test_nearest_neighbours_cost_alike_in_both_roundings() -> None:
    exact, floor = (nn.Upsample(scale_factor=2, mode=mode) for mode in ("nearest-exact", "nearest"))
    assert elementwise(exact, *images(2)) == elementwise(floor, *images(2)) == (0, 2 * 4 * 144)


def test_a_bag_adds_up_the_rows_that_it_looks_up() -> None:
    table = nn.EmbeddingBag(1000, 4, mode="sum")
    assert elementwise(table, labels(1000, 2, 5)) == (2 * 5 * 4, 1000 * 4)
    weighted = Calls(lambda bag, ids, weights: bag(ids, per_sample_weights=weights), table)
    assert elementwise(weighted, labels(1000, 2, 5), real(2, 5)) == (40, 1000 * 4 + 40)


def test_distances_meet_every_pair_of_rows_in_every_place() -> None:
    manhattan = Calls(lambda x, y: torch.cdist(x, y, 1.0))
    pairs = 2 * 30 * 40
    assert elementwise(manhattan, real(2, 30, 8), real(2, 40, 8)) == (pairs * 8, 2 * pairs * 8)
    assert elementwise(Calls(F.pdist), real(6, 8)) == (15 * 8, 15 * 8)


def test_euclidean_distances_cost_what_their_steps_cost() -> None:
    def steps(x: Tensor, y: Tensor) -> Tensor:
        norms = (x.pow(2).sum(-1, keepdim=True), y.pow(2).sum(-1, keepdim=True))
        ones = (torch.ones_like(norms[0]), torch.ones_like(norms[1]))
        a = torch.cat((x * -2, norms[0], ones[0]), -1)
        b = torch.cat((y, ones[1], norms[1]), -1)
        return (a @ b.transpose(-1, -2)).clamp_min(0).sqrt_()

    for leading in ((), (2,), (2, 3)):
        inputs = torch.rand(*leading, 30, 8), torch.rand(*leading, 40, 8)
        whole, parts = (counted(Calls(way), inputs).total for way in (torch.cdist, steps))
        assert (whole.macs, whole.elementwise) == (parts.macs, parts.elementwise)


def test_an_affine_grid_is_a_product_of_its_positions() -> None:
    for dims in (2, 3):
        size = (2, 4, *range(5, 5 + dims))
        grid = Calls(lambda by, size=size: F.affine_grid(by, size, align_corners=False))
        total = counted(grid, (real(2, dims, dims + 1),), backward=True).total
        positions = 2 * torch.Size(size[2:]).numel()
        assert total.macs == total.macs_backward == positions * dims * (dims + 1)


def test_the_states_of_ctc_are_labels_with_blanks_between() -> None:
    # Four labels and five blanks at ten time steps of two sequences; backward 5 classes each.
    inputs = real(10, 2, 5), 1 + labels(4, 2, 4), torch.tensor([10, 10]), torch.tensor([4, 4])
    assert elementwise(nn.CTCLoss(reduction="none"), *inputs) == (10 * 2 * 9, 10 * 2 * 5)


def test_both_gradients_of_a_deformable_convolution_cost_its_forward_pass_each() -> None:
    layer = torchvision.ops.DeformConv2d(4, 6, 3, padding=1, groups=2)
    inputs = real(1, 4, 8, 8), real(1, 18, 8, 8), real(1, 9, 8, 8)
    total = counted(layer, inputs, backward=True).total
    assert total.macs == 64 * 6 * 4 // 2 * 9
    assert total.macs_backward == 2 * total.macs


def test_a_fused_lstm_has_four_gradients_of_its_two_products() -> None:
    layer = Calls(_asks_for_a_value, nn.LSTM(4, 6))
    total = counted(layer, (real(3, 2, 4),), backward=True).total
    assert total.macs == 3 * 2 * 4 * 6 * (4 + 6)
    # the first step's recurrent product has no gradient of a state that nobody trains
    assert total.macs_backward == 2 * total.macs - 2 * 4 * 6 * 6
