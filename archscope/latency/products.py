"""Convolutions, linear layers, batched products and attention as matrix products.

A convolution is the product of its unfolded input with its weight (Chetlur et al. 2014): rows are
output positions, columns output channels, depth the input channels of a group times the kernel.
The gradient of the input swaps columns and depth; that of the weight sums over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from archscope.latency.kernel import HALVES, Kernel, is_channels_last, order, width
from archscope.latency.precision import Typed
from archscope.records import Operand
from archscope.records.execution import Argument

EIGHT = 8
"""Elements of half precision that tensor cores load at once; sides not divisible are padded."""


WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Channels of a group for which libraries have kernels."""


def is_aligned(dtype: str, *sides: float) -> bool:
    """Whether every side can be loaded by eights; in other dtypes nothing hangs on it."""
    return dtype not in HALVES or all(side % EIGHT == 0 for side in sides)


def read(operator: Typed) -> float:
    """Bytes of the distinct tensors that an operator reads."""
    seen: dict[int, float] = {}
    for operand, dtype in zip(operator.run.inputs, operator.inputs, strict=True):
        size = width(dtype) * operand.elements
        seen[operand.storage] = max(size, seen.get(operand.storage, 0))
    return sum(seen.values())


def written(operator: Typed) -> float:
    """Bytes of the tensors that an operator returns."""
    pairs = zip(operator.run.outputs, operator.outputs, strict=True)
    return sum(width(dtype) * operand.elements for operand, dtype in pairs)


def linear(operator: Typed) -> Iterator[Kernel]:
    """`mm` and `addmm`: (rows, depth) by (depth, columns)."""
    run = operator.run
    a, b = run.inputs[-2:]
    rows, depth = a.shape
    columns = b.shape[1]
    yield Kernel(
        _linear_kind(run.phase, a, b),
        operator.dtype,
        times=1,
        rows=rows,
        columns=columns,
        depth=depth,
        read=read(operator),
        written=written(operator),
        aligned=is_aligned(operator.dtype, columns, depth),
    )


def _linear_kind(phase: str, a: Operand, b: Operand) -> str:
    """In the backward pass a product without a parameter is the gradient of one."""
    if phase == "forward":
        return "linear"
    weighted = "parameter" in (a.role, b.role)
    return "linear_input_gradient" if weighted else "linear_weight_gradient"


def batched(operator: Typed) -> Iterator[Kernel]:
    """`bmm` and `baddbmm`: a product for each item of the batch."""
    a, b = operator.run.inputs[-2:]
    times, rows, depth = a.shape
    columns = b.shape[2]
    yield Kernel(
        "batched_product",
        operator.dtype,
        times=times,
        rows=rows,
        columns=columns,
        depth=depth,
        read=read(operator),
        written=written(operator),
        aligned=is_aligned(operator.dtype, columns, depth),
    )


def grouped(operator: Typed) -> Iterator[Kernel]:
    """`_grouped_mm`: one product a group, as of a mixture's experts.

    Rows are spread at random: of E matrices for n rows, E·(1 − (1 − 1/E)ⁿ) are expected to get
    one, and these are read. The gradient of the matrices has the groups in its inner positions.
    """
    a, b = operator.run.inputs[:2]
    if len(a.shape) == len(b.shape) == 3:
        yield from batched(operator)
        return
    rows, depth, columns = map(float, (*a.shape[-2:], b.shape[-1]))
    groups = operator.run.outputs[0].shape[0] if len(b.shape) == 2 else b.shape[0]
    met, idle = float(groups), 0.0
    if len(a.shape) == 2 and len(b.shape) == 3:
        met = groups * (1.0 - (1.0 - 1.0 / groups) ** rows)
        idle = width(operator.inputs[1]) * b.elements * (1.0 - met / groups)
        rows /= met
    elif len(a.shape) == 2:
        depth /= groups
    else:
        columns /= groups
    yield Kernel(
        "batched_product", operator.dtype, times=met, rows=rows, columns=columns, depth=depth,
        read=read(operator) - idle, written=written(operator),
        aligned=is_aligned(operator.dtype, columns, depth),
    )  # fmt: skip


def attention(operator: Typed) -> Iterator[Kernel]:
    """Fused attention: two products whose result in between stays on the chip (Dao et al. 2022)."""
    run = operator.run
    query, key, value = run.inputs[:3] if run.phase == "forward" else run.inputs[1:4]
    *leading, length, size = query.shape
    source = key.shape[-2]
    forward = run.phase == "forward"
    masked = len(run.inputs) > (3 if forward else 6)
    kind = "masked_attention" if masked else "attention"
    yield Kernel(
        kind if forward else f"{kind}_backward",
        operator.dtype,
        times=prod(leading) * (1.0 if forward else 2.5),  # five products for two
        rows=length,
        columns=source,
        depth=size + value.shape[-1],
        operations=prod(leading) * float(length) * source,
        read=read(operator),
        written=written(operator),
        aligned=is_aligned(operator.dtype, size, source),
    )


def convolution(operator: Typed) -> Iterator[Kernel]:
    """A convolution, the copy of an input in another order, and the sum with the bias."""
    run = operator.run
    x, weight = run.inputs[:2]
    out = run.outputs[0]
    stride, padding, dilation, transposed, _, groups = _settings(run.arguments[-6:])
    kind = convolution_kind(weight, groups, stride, transposed)
    if _differs(x, out):
        size = width(operator.dtype) * x.elements
        yield Kernel("transposition", operator.dtype, read=size, written=size)
    sizes = (width(operator.dtype) * (x.elements + weight.elements), written(operator))
    made = Kernel(
        kind, operator.dtype, order(out), read=sizes[0], written=sizes[1],
        aligned=is_aligned(operator.dtype, weight.shape[0] // groups, weight.shape[1]),
    )  # fmt: skip
    if kind.startswith("depthwise"):
        taps = in_bounds(x, out, weight, stride, padding, dilation)
        work = 2.0 * out.shape[0] * out.shape[1] * taps
        yield made._replace(operations=work)
    elif transposed:
        sides = _spread_sides(out, x, weight, groups)
        yield made._replace(times=groups, rows=sides[0], columns=sides[1], depth=sides[2])
    else:
        rows, columns, depth = convolution_sides(out, weight, groups)
        squares = winograd_squares(kind, out)
        yield made._replace(times=groups, rows=rows, columns=columns, depth=depth, squares=squares)
    if len(run.inputs) > 2:
        yield Kernel("bias", operator.dtype, order(out), read=sizes[1], written=sizes[1])


def convolution_sides(applied: Operand, weight: Operand, groups: int) -> tuple[int, int, int]:
    """Rows, columns and depth of the product of one group.

    Args:
        applied: the tensor at whose positions the kernel is applied: the output, or the input of a
            transposed convolution.
        weight: (channels, channels of a group, *kernel).
        groups: of the channels.
    """
    spatial = len(weight.shape) - 2
    rows = applied.shape[0] * prod(applied.shape[-spatial:])
    return rows, weight.shape[0] // groups, prod(weight.shape[1:])


def _spread_sides(
    result: Operand, source: Operand, weight: Operand, groups: int
) -> tuple[int, int, float]:
    """Rows, columns and depth where every position of a result sums what it got from a source.

    So a transposed convolution is computed, and the gradient of a convolution's input.

    Args:
        result: at whose positions the sums are.
        source: at whose positions the kernel is applied.
        weight: (channels of the source, channels of a group of the result, *kernel).
        groups: of the channels.
    """
    applied, channels, depth = convolution_sides(source, weight, groups)
    taps = prod(weight.shape[2:])
    spatial = len(weight.shape) - 2
    positions = applied if taps == 1 else result.shape[0] * prod(result.shape[-spatial:])
    met = taps * applied / positions  # kernel elements that a position meets
    return positions, depth // taps, channels * met


def convolution_kind(
    weight: Operand, groups: int, stride: Sequence[int], transposed: bool = False
) -> str:
    """Which of a library's algorithms a convolution gets, by what decides it."""
    side, step, few = max(weight.shape[2:]), max(stride), weight.shape[1]
    if few == 1 and groups > 1:
        size = next((limit for limit in (3, 5, 7) if side <= limit), 9)
        return f"depthwise_{size}" + ("_strided" if step > 1 and side <= 5 else "")
    if groups > 1:
        return f"grouped_{few}" if few in WIDTHS else "grouped"
    if transposed:
        return "convolution_transposed"
    if few <= 4:
        return "patch_stem" if step >= side else "stem"
    if side == 1:
        return "pointwise" if step == 1 else "pointwise_strided"
    if step >= side:
        return "patches"
    if step > 1:
        return "convolution_strided"
    return "convolution_3" if side == 3 else "convolution"


SQUARE = 4
"""Side of the squares of output positions that Winograd's algorithm finds at once."""


def winograd_squares(kind: str, out: Operand) -> float:
    """Squares of output positions of a 3×3 convolution by steps of 1; 0 for any other."""
    if kind != "convolution_3" or len(out.shape) != 4:
        return 0
    return out.shape[0] * -(-out.shape[2] // SQUARE) * -(-out.shape[3] // SQUARE)


def in_bounds(
    x: Operand, out: Operand, weight: Operand, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int],
) -> int:  # fmt: skip
    """Kernel elements that meet the image and not its padding, over all output positions.

    A direct kernel skips the others; a matrix product multiplies them.
    """
    spatial = len(weight.shape) - 2
    total = 1
    for axis in range(spatial):
        side, positions = x.shape[axis - spatial], out.shape[axis - spatial]
        met = 0
        for tap in range(weight.shape[axis - spatial]):
            first = padding[axis] - tap * dilation[axis]  # out·stride ≥ first, < first + side
            low = max(0, -(-first // stride[axis]))
            high = min(positions, -(-(first + side) // stride[axis]))
            met += max(0, high - low)
        total *= met
    return total


def _differs(x: Operand, out: Operand) -> bool:
    """Whether an input must be copied into the order of the output."""
    if len(x.shape) != 4 or x.shape[1] == 1 or x.shape[2] * x.shape[3] == 1:
        return False
    if x.axes and not is_channels_last(x):
        return True
    return is_channels_last(x) != is_channels_last(out)


def convolution_backward(operator: Typed) -> Iterator[Kernel]:
    """The gradients of a convolution's input, weight and bias, as far as they are asked for."""
    run = operator.run
    gradient, x, weight = run.inputs[:3]
    mask = _settings(run.arguments[-7:])[-1]
    if mask[0]:
        yield _gradient(operator, "input_gradient", (gradient, weight), x)
    if mask[1]:
        yield _gradient(operator, "weight_gradient", (gradient, x), weight)
    if mask[2]:
        moved = float(width(operator.dtype) * gradient.elements)
        yield Kernel("bias_gradient", operator.dtype, order(gradient), read=moved)


def _gradient(
    operator: Typed, name: str, inputs: tuple[Operand, Operand], result: Operand
) -> Kernel:
    """One gradient of a convolution, from two tensors."""
    gradient, x, weight = operator.run.inputs[:3]
    stride, padding, dilation, transposed, _, groups, _ = _settings(operator.run.arguments[-7:])
    kind, size = convolution_kind(weight, groups, stride, transposed), width(operator.dtype)
    made = Kernel(
        f"{kind}_{name}",
        operator.dtype,
        order(gradient),
        read=float(size * (inputs[0].elements + inputs[1].elements)),
        written=float(size * result.elements),
        aligned=is_aligned(operator.dtype, weight.shape[0] // groups, weight.shape[1]),
    )
    if kind.startswith("depthwise"):
        taps = in_bounds(x, gradient, weight, stride, padding, dilation)
        return made._replace(operations=2.0 * gradient.shape[0] * gradient.shape[1] * taps)
    rows, columns, depth = convolution_sides(x if transposed else gradient, weight, groups)
    if result is x and transposed:
        return made._replace(times=groups, rows=rows, columns=columns, depth=depth)
    if result is x:
        sides = _spread_sides(x, gradient, weight, groups)
        return made._replace(
            times=groups, rows=sides[0], columns=sides[1], depth=sides[2],
            squares=winograd_squares(kind, x),
        )  # fmt: skip
    return made._replace(
        times=groups, rows=columns, columns=depth, depth=rows,
        squares=winograd_squares(kind, gradient),
    )  # fmt: skip


def _settings(arguments: tuple[Argument, ...]) -> Sequence[Any]:
    """Arguments of a convolution, whose types its schema fixes."""
    return arguments


PRODUCTS = {
    "convolution": convolution,
    "convolution_backward": convolution_backward,
    "addmm": linear,
    "mm": linear,
    "bmm": batched,
    "baddbmm": batched,
    "_grouped_mm": grouped,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_scaled_dot_product_flash_attention": attention,
    "_scaled_dot_product_efficient_attention": attention,
    "_scaled_dot_product_cudnn_attention": attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": attention,
}
"""What makes the kernels of an operator with multiply-accumulates."""
