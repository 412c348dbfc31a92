"""Fourier transforms: a pass over memory for every transformed axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope.latency.kernel import Kernel
from archscope.latency.precision import Typed
from archscope.latency.products import read, written


def fourier(operator: Typed) -> Iterator[Kernel]:
    """One kernel an axis, which reads and writes all values.

    A library's kernel holds a line of a few thousand values on the chip. Longer lines, and sides
    with large prime factors, take more passes.
    """
    run = operator.run
    axes: Sequence[int] = run.arguments[0]  # type: ignore[assignment]
    kind = "fft" if run.phase == "forward" else "fft_backward"
    moved = read(operator), written(operator)
    between = max(moved)  # half of the values of a real transform are complex
    for place in range(len(axes)):
        yield Kernel(
            kind, operator.dtype, operations=2 * run.macs / len(axes),
            read=between if place else moved[0],
            written=moved[1] if place == len(axes) - 1 else between,
        )  # fmt: skip
