"""Every shape rule answers as the meta kernel does, or declines."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from archscope.analysis import shapes

aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def described(value: Any) -> Any:
    """What a later operator could see of a result."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.device.type
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
        (meta(1, 4, 8, 8).to(memory_format=torch.channels_last), meta(4, 4, 3, 3), 1),
        (meta(1, 4, 8, 8, dtype=torch.float16), meta(4, 4, 3, 3), 1),
    ],
    ids=["channels", "too small", "unbatched", "channels last", "dtypes"],
)
def test_an_unusual_convolution_is_left_to_the_kernel(
    x: Tensor, weight: Tensor, groups: int
) -> None:
    args = (x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups)
    assert not agrees(aten.convolution.default, *args)


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


def test_batch_norm_on_batch_statistics() -> None:
    c = [meta(3) for _ in range(4)]
    for x in [*layouts(2, 3, 4, 5), *layouts(2, 3)]:
        agrees(aten.native_batch_norm.default, x, *c, True, 0.1, 1e-5)
        agrees(aten.native_batch_norm.default, x, None, None, *c[2:], True, 0.1, 1e-5)
    assert agrees(aten.native_batch_norm.default, meta(2, 3, 4, 5), *c, True, 0.1, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_on_running_statistics_saves_nothing_as_on_a_real_device(
    dtype: torch.dtype,
) -> None:
    x, *c = torch.zeros(2, 3, 4, 5, dtype=dtype), *(torch.ones(3, dtype=dtype) for _ in range(4))
    real = aten.native_batch_norm.default(x, *c, False, 0.1, 1e-5)
    answer = shapes.batch_norm(*(t.to("meta") for t in (x, *c)), False, 0.1, 1e-5)
    assert answer is not None
    assert [tuple(t.shape) for t in answer] == [tuple(t.shape) for t in real]
    assert (answer[0].stride(), answer[0].dtype) == (real[0].stride(), real[0].dtype)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_gradients(training: bool) -> None:
    weight, mean, variance = meta(3), meta(3), meta(3)
    saved = [meta(3), meta(3)] if training else [meta(0), meta(0)]
    for x, mask in product(
        [*layouts(2, 3, 4, 5), *layouts(2, 3)],
        ([True, True, True], [False, True, True], [True, False, False]),
    ):
        agrees(
            aten.native_batch_norm_backward.default,
            torch.empty_like(x), x, weight, mean, variance, *saved, training, 1e-5, mask,
        )  # fmt: skip


def test_layer_norm() -> None:
    for x, over in product(layouts(2, 3, 4, 5), ([5], [4, 5], [3, 4, 5])):
        weight, bias = meta(*over), meta(*over)
        agrees(aten.native_layer_norm.default, x, over, weight, bias, 1e-5)
        out, mean, deviation = aten.native_layer_norm.default(x, over, weight, bias, 1e-5)
        for mask in ([True, True, True], [True, False, False]):
            agrees(
                aten.native_layer_norm_backward.default,
                torch.empty_like(out), x, over, mean, deviation, weight, bias, mask,
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
    unary = [rule for rule, answer in shapes.RULES.items() if answer is shapes.same]
    assert len(unary) > 10
    for operator, x in product(unary, layouts(2, 3, 4, 5)):
        given = x.to(dtype)
        answered = agrees(operator, given, *EXTRA_ARGUMENTS.get(operator, ()))
        assert answered == dtype.is_floating_point


def test_activations_in_place_return_their_input() -> None:
    in_place = [rule for rule, answer in shapes.RULES.items() if answer is shapes.in_place]
    for operator in in_place:
        x = meta(2, 3)
        assert shapes.RULES[operator](x) is x
        assert operator(x) is x


GRADIENT_ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    aten.threshold_backward.default: (0,),
    aten.hardtanh_backward.default: (-1.0, 1.0),
}


def test_gradients_of_activations() -> None:
    backward = [rule for rule, answer in shapes.RULES.items() if answer is shapes.like_gradient]
    for operator, x, gradient in product(backward, layouts(2, 3, 4, 5), layouts(2, 3, 4, 5)):
        agrees(operator, gradient, x, *GRADIENT_ARGUMENTS.get(operator, ()))
    assert agrees(aten.gelu_backward.default, meta(2, 3), meta(2, 3))


def test_sums_and_products_broadcast() -> None:
    operators = [rule for rule, answer in shapes.RULES.items() if answer is shapes.broadcast]
    others = [*layouts(2, 3, 4, 5), meta(2, 3, 1, 1), meta(5), meta(1, 1, 1, 1, 1), meta(1), 2, 0.5,
              meta(), meta(2, 3, 4, 5, dtype=torch.float64), meta(3, 1, 1)]  # fmt: skip
    for operator, x, y in product(operators, layouts(2, 3, 4, 5), others):
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
    assert shapes.mm(meta(4, 5), meta(6, 5)) is None
    assert shapes.bmm(meta(2, 4, 5), meta(3, 5, 6)) is None
    assert shapes.addmm(meta(7), meta(4, 5), meta(5, 6)) is None


def test_softmax() -> None:
    for x, dim in product(layouts(2, 3, 4, 5), (0, 1, -1)):
        agrees(aten._softmax.default, x, dim, False)
        agrees(aten._safe_softmax.default, x, dim)
        for gradient in layouts(2, 3, 4, 5):
            agrees(aten._softmax_backward_data.default, gradient, x, dim, torch.float32)
    assert agrees(aten._softmax.default, meta(2, 3), -1, False)


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
    assert shapes.concatenate([meta(2, 3), meta(3, 4)], 1) is None
