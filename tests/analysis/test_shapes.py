"""Every shape rule answers as the meta kernel does, or declines."""

from __future__ import annotations

from inspect import isfunction, signature
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

import archscope
from archscope.analysis import shapes
from archscope.analysis.shapes import arrangement, elementwise, layers, products

aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def described(value: Any) -> Any:
    """What a later operator could see of a result: no step leads along a side of 1."""
    if isinstance(value, Tensor):
        steps = zip(value.stride(), value.shape, strict=True)
        used = tuple(step if side > 1 else None for step, side in steps)
        return tuple(value.shape), used, value.dtype, value.device.type
    if isinstance(value, (tuple, list)):
        return tuple(map(described, value))
    return value


def agrees(operator: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether the rule answered, after checking that it answered as the kernel does."""
    answer = shapes.RULES[operator](*args, **kwargs)
    if answer is None:
        return False
    assert described(answer) == described(operator(*args, **kwargs)), (operator, args)
    return True


def convolution_arguments() -> Any:
    for rank, stride, padding, dilation, groups, transposed, bias in product(
        (1, 2, 3), (1, 2), (0, 1), (1, 2), (1, 2, 4), (False, True), (False, True)
    ):
        x = meta(2, 4, *(7, 9, 8)[:rank])
        kernel = (3, 2, 1)[:rank]
        weight = meta(4, 8 // groups, *kernel) if transposed else meta(8, 4 // groups, *kernel)
        output_padding = [1 if transposed and (stride > 1 or dilation > 1) else 0] * rank
        yield (
            x, weight, meta(8) if bias else None, [stride] * rank, [padding] * rank,
            [dilation] * rank, transposed, output_padding, groups,
        )  # fmt: skip


def test_convolution_of_every_kind() -> None:
    answered = [agrees(aten.convolution.default, *args) for args in convolution_arguments()]
    assert all(answered)


@pytest.mark.parametrize("x_last", [False, True])
@pytest.mark.parametrize("weight_last", [False, True])
def test_convolution_of_images_in_either_order(x_last: bool, weight_last: bool) -> None:
    orders = (torch.contiguous_format, torch.channels_last)
    x = meta(2, 4, 7, 9).to(memory_format=orders[x_last])
    weight = meta(8, 2, 3, 2).to(memory_format=orders[weight_last])
    settings = ([2, 1], [1, 0], [1, 1], False, [0, 0], 2)
    assert agrees(aten.convolution.default, x, weight, None, *settings)


def test_convolution_gradients_of_every_kind() -> None:
    for (x, weight, _, *settings), mask in product(
        convolution_arguments(), ([True, True, True], [False, True, False], [True, False, True])
    ):
        out = aten.convolution.default(x, weight, None, *settings)
        assert agrees(
            aten.convolution_backward.default,
            torch.empty_like(out),
            x,
            weight,
            [8],
            *settings,
            mask,
        )


@pytest.mark.parametrize(
    ("x", "weight", "groups"),
    [
        (meta(1, 3, 8, 8), meta(4, 2, 3, 3), 1),
        (meta(1, 4, 2, 2), meta(4, 4, 3, 3), 1),
        (meta(4, 8, 8), meta(4, 4, 3, 3), 1),
        (meta(1, 4, 8, 16)[..., ::2], meta(4, 4, 3, 3), 1),
        (meta(1, 4, 8, 8, dtype=torch.float16), meta(4, 4, 3, 3), 1),
    ],
    ids=["channels", "too small", "unbatched", "with gaps", "dtypes"],
)
def test_an_unusual_convolution_is_left_to_the_kernel(
    x: Tensor, weight: Tensor, groups: int
) -> None:
    args = (x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups)
    assert not agrees(aten.convolution.default, *args)


def test_a_convolution_may_name_its_padding_once_for_all_axes() -> None:
    x, weight = meta(1, 4, 8, 8), meta(4, 4, 3, 3)
    assert not agrees(
        aten.convolution.default, x, weight, None, [1, 1], [0], [1, 1], False, [0, 0], 1
    )
    # As PyTorch itself calls it for `padding="valid"`.
    counted = archscope.summary(torch.nn.Conv2d(4, 4, 3, padding="valid"), "4x8x8")
    assert counted.total.macs == 6 * 6 * 4 * 4 * 9


def layouts(*shape: int) -> list[Tensor]:
    """A contiguous, a permuted, a channels-last, an expanded and a sliced tensor of one shape."""
    tensors = [
        meta(*shape),
        meta(*reversed(shape)).permute(*reversed(range(len(shape)))),
        meta(1, *shape[1:]).expand(*shape),
        meta(*shape[:-1], 2 * shape[-1])[..., ::2],
    ]
    if len(shape) == 4:
        tensors.append(meta(*shape).to(memory_format=torch.channels_last))
    return tensors


def one_sample(*shape: int) -> list[Tensor]:
    """Layouts of one sample; a slice of channels is contiguous in spite of its first stride."""
    return [*layouts(1, *shape), meta(1, 2 * shape[0], *shape[1:])[:, : shape[0]]]


EVERY = [*layouts(2, 3, 4, 5), *one_sample(3, 4, 5), *one_sample(3, 1, 1), *one_sample(1, 4, 5)]


def test_batch_norm_on_batch_statistics() -> None:
    c = [meta(3) for _ in range(4)]
    for x in [*layouts(2, 3, 4, 5), *layouts(2, 3), *one_sample(3, 4, 5)]:
        agrees(aten.native_batch_norm.default, x, *c, True, 0.1, 1e-5)
        agrees(aten.native_batch_norm.default, x, None, None, *c[2:], True, 0.1, 1e-5)
    last = meta(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for x in (meta(2, 3, 4, 5), last):
        assert agrees(aten.native_batch_norm.default, x, *c, True, 0.1, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_on_running_statistics_saves_nothing_as_on_a_real_device(
    dtype: torch.dtype,
) -> None:
    x, *c = torch.zeros(2, 3, 4, 5, dtype=dtype), *(torch.ones(3, dtype=dtype) for _ in range(4))
    real = aten.native_batch_norm.default(x, *c, False, 0.1, 1e-5)
    answer = layers.batch_norm(*(t.to("meta") for t in (x, *c)), False, 0.1, 1e-5)
    assert answer is not None
    assert [tuple(t.shape) for t in answer] == [tuple(t.shape) for t in real]
    assert (answer[0].stride(), answer[0].dtype) == (real[0].stride(), real[0].dtype)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_gradients(training: bool) -> None:
    weight, mean, variance = meta(3), meta(3), meta(3)
    saved = [meta(3), meta(3)] if training else [meta(0), meta(0)]
    for x, mask in product(
        [*layouts(2, 3, 4, 5), *layouts(2, 3), *one_sample(3, 4, 5)],
        ([True, True, True], [False, True, True], [True, False, False]),
    ):
        for gradient in (torch.empty_like(x), *layouts(*x.shape)):
            agrees(
                aten.native_batch_norm_backward.default,
                gradient, x, weight, mean, variance, *saved, training, 1e-5, mask,
            )  # fmt: skip


def test_layer_norm() -> None:
    for x, over in product([*layouts(2, 3, 4, 5), *one_sample(3, 4, 5)], ([5], [4, 5], [3, 4, 5])):
        weight, bias = meta(*over), meta(*over)
        agrees(aten.native_layer_norm.default, x, over, weight, bias, 1e-5)
        out, mean, deviation = aten.native_layer_norm.default(x, over, weight, bias, 1e-5)
        for mask, gradient in product(
            ([True, True, True], [True, False, False]), layouts(*out.shape)
        ):
            agrees(
                aten.native_layer_norm_backward.default,
                gradient, x, over, mean, deviation, weight, bias, mask,
            )  # fmt: skip
    assert agrees(
        aten.native_layer_norm.default, meta(2, 3, 4, 5), [4, 5], meta(4, 5), meta(4, 5), 1e-5
    )


EXTRA_ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    aten.clamp.default: (0.0, 6.0),
    aten.clamp_min.default: (0.0,),
    aten.mul.Scalar: (2.0,),
    aten.div.Scalar: (2.0,),
    aten.add.Scalar: (2.0,),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_activations(dtype: torch.dtype) -> None:
    unary = [rule for rule, answer in shapes.RULES.items() if answer is elementwise.same]
    assert len(unary) > 10
    for operator, x in product(unary, EVERY):
        given = x.to(dtype)
        answered = agrees(operator, given, *EXTRA_ARGUMENTS.get(operator, ()))
        assert answered == dtype.is_floating_point


def test_activations_in_place_return_their_input() -> None:
    in_place = [rule for rule, answer in shapes.RULES.items() if answer is elementwise.in_place]
    for operator in in_place:
        x = meta(2, 3)
        assert shapes.RULES[operator](x) is x
        assert operator(x) is x


GRADIENT_ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    aten.threshold_backward.default: (0,),
    aten.hardtanh_backward.default: (-1.0, 1.0),
}


def test_gradients_of_activations() -> None:
    backward = [
        rule for rule, answer in shapes.RULES.items() if answer is elementwise.like_gradient
    ]
    for every in (layouts(2, 3, 4, 5), one_sample(3, 4, 5), one_sample(3, 1, 1)):
        for operator, x, gradient in product(backward, every, every):
            agrees(operator, gradient, x, *GRADIENT_ARGUMENTS.get(operator, ()))
    assert agrees(aten.gelu_backward.default, meta(2, 3), meta(2, 3))


def test_sums_and_products_broadcast() -> None:
    operators = [rule for rule, answer in shapes.RULES.items() if answer is elementwise.broadcast]
    others = [*layouts(2, 3, 4, 5), meta(2, 3, 1, 1), meta(5), meta(1, 1, 1, 1, 1), meta(1), 2, 0.5,
              meta(), meta(2, 3, 4, 5, dtype=torch.float64), meta(3, 1, 1)]  # fmt: skip
    for operator, x, y in product(operators, layouts(2, 3, 4, 5), others):
        agrees(operator, x, y)
    for shape in ((3, 4, 5), (3, 1, 1), (1, 4, 5), (1, 1, 1)):
        for operator, x, y in product(operators, one_sample(*shape), one_sample(*shape)):
            agrees(operator, x, y)
    for y in (meta(2, 3, 4, 5), meta(2, 3, 1, 1), meta(5), 2, 0.5):
        assert agrees(aten.mul.Tensor, meta(2, 3, 4, 5), y)


def test_sums_in_place_keep_their_input() -> None:
    for operator, y in product(
        (aten.add_.Tensor, aten.mul_.Tensor), (meta(2, 3), meta(3), meta(1, 1), 1.5)
    ):
        x = meta(2, 3)
        assert shapes.RULES[operator](x, y) is x
    assert shapes.RULES[aten.add_.Tensor](meta(3), meta(2, 3)) is None


def test_matrix_products() -> None:
    for a, b in product(layouts(4, 5), layouts(5, 6)):
        assert agrees(aten.mm.default, a, b)
        assert agrees(aten.addmm.default, meta(6), a, b)
    for a, b in product(layouts(2, 4, 5), layouts(2, 5, 6)):
        assert agrees(aten.bmm.default, a, b)
    assert products.mm(meta(4, 5), meta(6, 5)) is None
    assert products.bmm(meta(2, 4, 5), meta(3, 5, 6)) is None
    assert products.addmm(meta(7), meta(4, 5), meta(5, 6)) is None


def test_products_of_groups() -> None:
    groups = torch.zeros(4, dtype=torch.int32, device="meta")
    half = {"dtype": torch.bfloat16}
    for a, b in (
        (meta(32, 16, **half), meta(4, 16, 24, **half)),
        (meta(4, 8, 16, **half), meta(16, 32, **half)),
        (meta(16, 32, **half), meta(32, 24, **half)),
    ):
        assert agrees(aten._grouped_mm.default, a, b, groups)
    assert products.grouped_mm(meta(32, 8), meta(4, 16, 24), groups) is None
    assert products.grouped_mm(meta(2, 3, 4), meta(2, 4, 5)) is None


def test_products_of_groups_in_float32_are_those_of_the_cpu() -> None:
    """Whose kernel takes them; the meta kernel of torch 2.14 takes bfloat16 alone."""
    ends = torch.tensor([8, 16, 20, 32], dtype=torch.int32)
    for a, b in (
        (torch.ones(32, 16), torch.ones(4, 16, 24)),
        (torch.ones(4, 8, 16), torch.ones(16, 32)),
        (torch.ones(16, 32), torch.ones(32, 24)),
    ):
        answer = products.grouped_mm(a.to("meta"), b.to("meta"), ends)
        assert answer is not None
        assert answer.shape == aten._grouped_mm.default(a, b, ends).shape


def test_softmax() -> None:
    for x, dim in product(EVERY, (0, 1, -1)):
        agrees(aten._softmax.default, x, dim, False)
        agrees(aten._safe_softmax.default, x, dim)
        for gradient in layouts(2, 3, 4, 5):
            agrees(aten._softmax_backward_data.default, gradient, x, dim, torch.float32)
    assert agrees(aten._softmax.default, meta(2, 3), -1, False)
    half = meta(2, 3, dtype=torch.float16)
    assert not agrees(aten._softmax.default, half, -1, True)  # which writes float32


def test_reductions() -> None:
    for operator, x, dims, keep in product(
        (aten.mean.dim, aten.sum.dim_IntList),
        layouts(2, 3, 4, 5),
        ([0], [-1], [2, 3], [0, 2, 3], [0, 1, 2, 3], []),
        (False, True),
    ):
        agrees(operator, x, dims, keep)
    assert agrees(aten.mean.dim, meta(2, 3, 4), [-1], True)
    assert not agrees(aten.sum.dim_IntList, meta(2, 3, dtype=torch.int32), [0])


def test_concatenation() -> None:
    for first, second, dim in product(layouts(2, 3, 4, 5), layouts(2, 3, 4, 5), (0, 1, -1)):
        agrees(aten.cat.default, [first, second], dim)
    assert agrees(aten.cat.default, [meta(2, 3), meta(2, 4)], 1)
    assert arrangement.concatenate([meta(2, 3), meta(3, 4)], 1) is None


def test_every_rule_takes_whatever_its_operator_takes() -> None:
    for operator, rule in shapes.RULES.items():
        if not isfunction(rule):  # views are PyTorch's own methods
            continue
        arguments = operator._schema.arguments
        positional = [0 for argument in arguments if not argument.kwarg_only]
        keywords = {argument.name: 0 for argument in arguments if argument.kwarg_only}
        signature(rule).bind(*positional, **keywords)


@pytest.mark.parametrize("memory_format", [None, torch.preserve_format, torch.contiguous_format,
                                           torch.channels_last])  # fmt: skip
def test_copies(memory_format: torch.memory_format | None) -> None:
    for x in EVERY:
        keywords = {} if memory_format is None else {"memory_format": memory_format}
        agrees(aten.clone.default, x, **keywords)
    assert agrees(aten.clone.default, meta(2, 3))


def test_new_tensors() -> None:
    meta_device = torch.device("meta")
    for size, dtype in product(([], [0], [2, 3, 4, 5]), (torch.float32, torch.uint8, None)):
        options: dict[str, Any] = {"dtype": dtype, "device": meta_device}
        assert not agrees(aten.empty.memory_format, size, **options)  # the network's own code asks
        assert agrees(
            aten.empty.memory_format, size, layout=torch.strided, pin_memory=False,
            memory_format=torch.contiguous_format, **options,
        )  # fmt: skip
        assert not agrees(aten.empty.memory_format, size, layout=torch.sparse_coo, **options)
        assert not agrees(
            aten.empty.memory_format, size, memory_format=torch.channels_last, **options
        )
    assert not agrees(aten.empty.memory_format, [2], device=torch.device("cpu"))
    assert not agrees(aten.empty.memory_format, [2])


def test_rolling_and_norms() -> None:
    for x, dims in product(EVERY, ([0], [1, 2], [-1, 0])):
        agrees(aten.roll.default, x, [1] * len(dims), dims)
        # PyTorch 2.11's meta kernel keeps a side of 1 that is named from the end.
        sides = [dim % x.dim() for dim in dims]
        for keep in (False, True):
            agrees(aten.linalg_vector_norm.default, x, 2.0, sides, keep)
    assert not agrees(aten.roll.default, meta(2, 3), [1])
    assert agrees(aten.roll.default, meta(2, 3), [1], [0])
    assert agrees(aten.linalg_vector_norm.default, meta(2, 3), 2.0, [-1], True)


MASKS = [meta(2, 3, 4, 5), meta(4, 5), meta(3, 1, 5), meta(), meta(7, 2, 3, 4, 5)]


def test_masks() -> None:
    inputs = [*layouts(2, 3, 4, 5), *one_sample(3, 4, 5)]
    for x, mask in product(inputs, [*MASKS, *inputs]):
        agrees(aten.masked_fill.Scalar, x, mask.to(torch.bool), 0.5)
        agrees(aten.where.self, mask.to(torch.bool), x, x)
        agrees(aten.where.self, mask.to(torch.bool), x, x.to(torch.float64))
    mask = meta(2, 3, dtype=torch.bool)
    assert agrees(aten.masked_fill.Scalar, meta(2, 3), mask, 0.5)
    assert agrees(aten.where.self, mask, meta(2, 3), meta(2, 3))


def test_comparisons() -> None:
    operators = [rule for rule, answer in shapes.RULES.items() if answer is elementwise.compare]
    for operator, x in product(operators, [*EVERY, meta(), meta(0, 2)]):
        agrees(operator, x, 1.5)
    assert agrees(aten.gt.Scalar, meta(2, 3), 0)


def test_gradients_of_slices() -> None:
    for gradient in (meta(2, 3), meta(3, 2).t()):
        assert agrees(aten.select_backward.default, gradient, [2, 4, 3], 1, 0)
    assert agrees(aten.slice_backward.default, meta(2, 2, 3), [2, 4, 3], 1, 0, 2, 1)


def test_pooling() -> None:
    windows = product(([2, 2], [3, 2]), ([], [2, 2], [1, 3]), ([0, 0], [1, 1]), (False, True))
    for x, (kernel, stride, padding, ceil_mode) in product(
        [*layouts(2, 3, 8, 9), meta(3, 8, 9), meta(0, 3, 8, 9), meta(2, 3, 8, 9).to(torch.int64)],
        list(windows),
    ):
        for dilation in ([1, 1], [2, 2]):
            agrees(
                aten.max_pool2d_with_indices.default,
                x, kernel, stride, padding, dilation, ceil_mode,
            )  # fmt: skip
        if x.is_floating_point():
            agrees(aten.avg_pool2d.default, x, kernel, stride, padding, ceil_mode)
    assert agrees(aten.max_pool2d_with_indices.default, meta(2, 3, 8, 8), [2, 2])
    assert agrees(aten.avg_pool2d.default, meta(2, 3, 8, 8), [2, 2])
    for x, size in product([*layouts(2, 3, 8, 9), meta(3, 8, 9)], ([1, 1], [3, 4])):
        agrees(aten._adaptive_avg_pool2d.default, x, size)
    assert agrees(aten._adaptive_avg_pool2d.default, meta(2, 3, 8, 8), [1, 1])


def test_a_pool_that_does_not_fit_is_left_to_the_kernel() -> None:
    for kernel, padding in (([9, 9], [0, 0]), ([2, 2], [2, 2])):
        rule = shapes.RULES[aten.max_pool2d_with_indices.default]
        assert rule(meta(2, 3, 8, 8), kernel, [1, 1], padding) is None


VIEWS: dict[Any, tuple[Any, ...]] = {
    aten.view.default: ([6, 20],),
    aten._unsafe_view.default: ([6, -1],),
    aten.permute.default: ([3, 1, 0, 2],),
    aten.transpose.int: (1, -1),
    aten.unsqueeze.default: (2,),
    aten.select.int: (1, -1),
    aten.squeeze.dim: (0,),
    aten.expand.default: ([7, 2, 3, 4, 5],),
    aten.detach.default: (),
}


def test_views_share_their_storage() -> None:
    for operator, args in VIEWS.items():
        x = meta(2, 3, 4, 5)
        assert agrees(operator, x, *args)
        view = shapes.RULES[operator](x, *args)
        assert view.untyped_storage()._cdata == x.untyped_storage()._cdata
    assert agrees(aten.t.default, meta(2, 3))
    assert agrees(aten.expand.default, meta(1, 3), [4, 3], implicit=True)
    views = {rule for rule, answer in shapes.RULES.items() if not isfunction(answer)}
    assert views == {*VIEWS, aten.t.default}
