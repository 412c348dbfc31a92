"""A recorded run → the kernels that a GPU starts for it, in a precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archscope.latency.deformable import deformable, deformable_backward
from archscope.latency.fourier import fourier
from archscope.latency.fusion import compiled_kernels
from archscope.latency.kernel import Kernel, width
from archscope.latency.precision import Typed, typed
from archscope.latency.products import PRODUCTS
from archscope.latency.streams import has_kind, stream
from archscope.records import Execution, OperatorRun

NOTHING_LAUNCHED = frozenset(
    ("as_strided_", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty")
)

LIBRARY = {
    **PRODUCTS,
    "_fft_c2c": fourier,
    "_fft_c2r": fourier,
    "_fft_r2c": fourier,
    "torchvision::_deform_conv2d_backward": deformable_backward,
    "torchvision::deform_conv2d": deformable,
}
"""What makes the kernels of an operator that is a library's own, compiled or not."""

OWNED = Kernel._fields.index("layer")
"""Place from which on a kernel's fields say whose it is; `_replace` is slow."""

RECURRENT = frozenset(("GRU", "LSTM", "RNN"))

FUSED_CELL = 3
"""Bytes of a cell's operators one by one over those of cuDNN's fused cell.

An LSTM's nine operators read and write 34 values a unit; fused, 11: the gates of both products,
the cell's state before and after, and the output.
"""


def kernels(execution: Execution, precision: str, compiled: bool = False) -> Iterator[Kernel]:
    """The kernels of a run, casts included.

    Args:
        execution: recorded in float32.
        precision: one of `precision.DTYPES`.
        compiled: whether `torch.compile` fuses what is no library's kernel.
    """
    recurrent = frozenset(
        place for place, layer in enumerate(execution.layers) if layer.kind in RECURRENT
    )
    operators = (
        _of_library(operator) if operator.run.layer in recurrent else operator
        for operator in typed(execution, precision)
    )
    if execution.trained:
        yield from update(execution, precision)
    if not compiled:
        for operator in operators:
            yield from _eager(operator, operator.run.layer in recurrent)
        return
    listed = list(operators)
    own = {
        place: tuple(_launched(operator, operator.run.layer in recurrent))
        for place, operator in enumerate(listed)
        if operator.run.name in LIBRARY
        or operator.run.layer in recurrent
        or not _has_kind(operator.run)
    }
    yield from compiled_kernels(listed, own)


def unknown_operators(execution: Execution) -> frozenset[str]:
    """Operators whose time nobody knows: without a formula, or without a kind of work.

    Their bytes are counted as if they worked element by element, so that a time is a lower bound.
    They are named however few these are: suppressing boxes, sorting or solving takes far longer.
    """
    return frozenset(run.name for run in execution.runs if not _has_kind(run))


def _has_kind(run: OperatorRun) -> bool:
    return run.known and (
        run.name in LIBRARY or run.name in NOTHING_LAUNCHED or not run.outputs or has_kind(run)
    )


def update(execution: Execution, precision: str) -> Iterator[Kernel]:
    """The update of the weights by SGD with momentum, one operator after another.

    Weight decay, the decay of the momentum, its sum with the gradient and that of the weights with
    it read seven and write four values an element. Under autocast the gradients are cast first.
    """
    elements = sum(execution.parameter_sizes)
    size = 4 if precision == "amp" else width(precision)
    if precision == "amp":
        yield Kernel(
            "weight_cast", "float32", read=2.0 * elements, written=4.0 * elements,
            launches=len(execution.parameter_sizes), phase="update", operator="_to_copy",
        )  # fmt: skip
    yield Kernel(
        "optimizer", "float32", read=7.0 * size * elements, written=4.0 * size * elements,
        launches=4.0 * len(execution.parameter_sizes), phase="update", operator="sgd",
    )  # fmt: skip


def _eager(operator: Typed, recurrent: bool) -> Iterator[Kernel]:
    run = operator.run
    for cast in _casts(operator):
        yield Kernel._make((*cast[:OWNED], run.layer, run.phase, "_to_copy"))
    yield from _launched(operator, recurrent)


def _launched(operator: Typed, recurrent: bool) -> Iterator[Kernel]:
    run = operator.run
    if run.name in NOTHING_LAUNCHED or _is_tiny(run):
        return
    for kernel in LIBRARY.get(run.name, stream)(operator):
        made = Kernel._make((*kernel[:OWNED], run.layer, run.phase, run.name))
        yield _in_cell(made) if recurrent else made


def _casts(operator: Typed) -> Iterator[Kernel]:
    for operand, before, after in operator.casts:
        yield Kernel(
            "weight_cast" if operand.role == "parameter" else "cast",
            after,
            read=width(before) * operand.elements,
            written=width(after) * operand.elements,
        )


def _is_tiny(run: OperatorRun) -> bool:
    """Bookkeeping of single values."""
    return not run.outputs or max(o.elements for o in run.outputs) <= 1


def _of_library(operator: Typed) -> Typed:
    """An operator of a recurrent layer, whose states are in the precision of its products."""
    casts = (cast for cast in operator.casts if cast[0].role == "parameter")
    return replace(operator, casts=tuple(casts))


def _in_cell(kernel: Kernel) -> Kernel:
    """What cuDNN's recurrent layers do of an operator: products as they are, cells fused.

    The library starts a product and its cell in one call of its own, in about the time in which
    PyTorch starts one operator.
    """
    if kernel.times:
        return kernel
    return kernel._replace(
        kind="elementwise" if kernel.phase == "forward" else "elementwise_backward",
        read=kernel.read / FUSED_CELL,
        written=kernel.written / FUSED_CELL,
        launches=0,
    )
