"""What a kernel is to the model of time: its kind, its product, and the bytes that it moves."""

from __future__ import annotations

from typing import NamedTuple

from archscope.latency.precision import BYTES
from archscope.records import Operand

HALVES = ("float16", "bfloat16")

OTHER_BYTES = {
    "bool": 1, "complex32": 4, "complex64": 8, "complex128": 16,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1,
}  # fmt: skip


class Kernel(NamedTuple):
    """What one operator launches.

    Args:
        kind: as the coefficients are named.
        dtype: in which it computes.
        order: `nchw` or `nhwc`, how the images that it makes are ordered in memory; empty for
            other tensors.
        times, rows, columns, depth: of the matrix products that it does: `times` products of
            (rows, depth) by (depth, columns); zeros where it does none.
        operations: floating-point operations outside of matrix products.
        squares: squares of 4 by 4 output positions, where Winograd's algorithm can take the place
            of the product (Lavin and Gray 2016).
        read, written: bytes.
        aligned: whether tensor cores can load its operands as they are.
        serial: steps that wait for each other.
        launches: kernels started.
        layer: place of the module call in `Execution.layers`.
        phase: `forward`, `backward` or `update`.
        operator: PyTorch's name.
    """

    kind: str
    dtype: str
    order: str = ""
    times: float = 0
    rows: float = 0
    columns: float = 0
    depth: float = 0
    operations: float = 0
    squares: float = 0
    read: float = 0
    written: float = 0
    aligned: bool = True
    serial: float = 0
    launches: float = 1
    layer: int = 0
    phase: str = "forward"
    operator: str = ""

    @property
    def flops(self) -> float:
        """Floating-point operations, twice the multiply-accumulates."""
        return 2 * self.times * self.rows * self.columns * self.depth + self.operations

    @property
    def bytes_moved(self) -> float:
        return self.read + self.written


CHANNELS_LAST = (0, 2, 3, 1)
"""Axes of a batch of images from the outermost in memory to the innermost."""


def order(operand: Operand) -> str:
    """How a batch of images is ordered in memory; empty for other tensors."""
    if len(operand.shape) != 4:
        return ""
    return "nhwc" if is_channels_last(operand) else "nchw"


def is_channels_last(operand: Operand) -> bool:
    """Whether a batch of images has its channels innermost; axes of one element are anywhere."""
    axes, shape = operand.axes, operand.shape
    if axes == CHANNELS_LAST or not axes:
        return bool(axes)
    return axes == tuple(axis for axis in CHANNELS_LAST if shape[axis] > 1)


def width(dtype: str) -> int:
    """Bytes of one element."""
    return BYTES.get(dtype) or OTHER_BYTES.get(dtype, 4)
