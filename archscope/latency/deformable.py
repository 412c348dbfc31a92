"""Deformable convolutions: samples are gathered into a matrix, and a product follows.

So torchvision computes them on a GPU, at most 32 images at a time: the gathered matrix is written
to memory and read again by a plain matrix product for each group.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod

from archscope.latency.kernel import Kernel, width
from archscope.latency.precision import Typed
from archscope.latency.products import is_aligned
from archscope.records import Operand

IMAGES = 32
"""That are gathered at once, at most."""


def deformable(operator: Typed) -> Iterator[Kernel]:
    """The gathered samples, the product with the weight, and the sum with the bias.

    Inputs are x (batch, channels, height, width), the weight (out, channels of a group, *kernel),
    offsets, a mask and the bias.
    """
    run = operator.run
    x, weight, *places = run.inputs
    out, dtype = run.outputs[0], operator.dtype
    sides = _Sides(x, weight, out, width(dtype))
    yield sides.gathered(dtype, places)
    yield sides.product("linear", dtype, sides.rows, sides.columns, sides.depth)
    yield Kernel("bias", dtype, read=sides.result, written=sides.result)


def deformable_backward(operator: Typed) -> Iterator[Kernel]:
    """The gradients of samples, places, input, weight and bias, whichever is asked for.

    Inputs are the gradient, then those of the forward pass.
    """
    run = operator.run
    gradient, x, weight, *places = run.inputs
    dtype = operator.dtype
    sides = _Sides(x, weight, gradient, width(dtype))
    yield sides.product("linear_input_gradient", dtype, sides.rows, sides.depth, sides.columns)
    spread = sides.gathered(dtype, places)._replace(kind="gather_backward")
    yield spread._replace(read=spread.written + spread.read, written=sides.source)
    yield spread._replace(read=spread.written + spread.read, written=_bytes(places, sides.size))
    yield spread
    yield sides.product("linear_weight_gradient", dtype, sides.columns, sides.depth, sides.rows)
    yield Kernel("bias_gradient", dtype, read=sides.result)


class _Sides:
    """Sides of the product of one group, and bytes.

    Args:
        x, weight: of the forward pass.
        result: the output, or its gradient.
        size: bytes of an element.
    """

    def __init__(self, x: Operand, weight: Operand, result: Operand, size: int) -> None:
        self.size = size
        self.groups = x.shape[1] // weight.shape[1]
        self.blocks = ceil(x.shape[0] / IMAGES)
        self.rows = result.shape[0] * prod(result.shape[2:])
        self.columns = weight.shape[0] // self.groups
        self.depth = prod(weight.shape[1:])
        self.source, self.result = float(size * x.elements), float(size * result.elements)
        self.samples = float(size * self.groups * self.rows * self.depth)
        self.weight = float(size * weight.elements)

    def gathered(self, dtype: str, places: list[Operand]) -> Kernel:
        """The kernel that writes every sample of every position."""
        read = self.source + _bytes(places, self.size)
        return Kernel("gather", dtype, read=read, written=self.samples, launches=self.blocks)

    def product(self, kind: str, dtype: str, rows: float, columns: float, depth: float) -> Kernel:
        """A product of every group, of which two of three matrices are read."""
        of_kind = {
            "linear": (self.samples + self.weight, self.result),
            "linear_input_gradient": (self.result + self.weight, self.samples),
            "linear_weight_gradient": (self.result + self.samples, self.weight),
        }
        read, written = of_kind[kind]
        return Kernel(
            kind, dtype, times=self.groups, rows=rows, columns=columns, depth=depth, read=read,
            written=written, aligned=is_aligned(dtype, columns, depth),
            launches=self.blocks * self.groups,
        )  # fmt: skip


def _bytes(operands: list[Operand], size: int) -> float:
    return float(size * sum(operand.elements for operand in operands))
