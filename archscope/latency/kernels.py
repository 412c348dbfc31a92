"""Operators → kernels: what kind of work each one is, and how much of it.

A kernel's amounts are products of its shapes that its time grows with: flops, bytes, launches.
`model.py` multiplies each by what the device needs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from archscope.latency.precision import BYTES, Typed, typed
from archscope.records import Execution, Operand, OperatorRun
from archscope.records.execution import Argument

OTHER_BYTES = {"int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1}

Amounts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One or more launches that do one operator's work.

    Args:
        kind: of the operator, as the coefficients are named.
        layer: place of the module call in `Execution.layers`.
        phase: `forward`, `backward` or `update`.
        dtype: in which it computes.
        amounts: what its time grows with, by name: `flops`, `read`, `written` (bytes), `launches`,
            and what `convolution` and `product` add.
        operator: PyTorch's name.
    """

    kind: str
    layer: int
    phase: str
    dtype: str
    amounts: Amounts = field(default_factory=dict)
    operator: str = ""


NOTHING_LAUNCHED = frozenset(
    ("as_strided_", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty")
)

ACTIVATIONS = frozenset(
    (
        "cos",
        "elu",
        "elu_backward",
        "exp",
        "gelu",
        "gelu_backward",
        "hardswish",
        "log",
        "mish",
        "pow",
        "rsqrt",
        "sigmoid",
        "sigmoid_backward",
        "silu",
        "silu_backward",
        "sin",
        "softplus",
        "sqrt",
        "tanh",
        "tanh_backward",
    )
)
"""Element by element with a function that takes several instructions."""

COPIES = frozenset(
    (
        "_to_copy",
        "clone",
        "contiguous",
        "copy_",
    )
)

GATHERS = frozenset(
    (
        "_unsafe_index",
        "cat",
        "col2im",
        "constant_pad_nd",
        "embedding",
        "flip",
        "gather",
        "im2col",
        "index",
        "index_select",
        "pixel_shuffle",
        "pixel_unshuffle",
        "reflection_pad2d",
        "repeat",
        "roll",
        "select_backward",
        "slice_backward",
        "stack",
    )
)

REDUCTIONS = frozenset(
    (
        "_adaptive_avg_pool2d",
        "amax",
        "amin",
        "argmax",
        "linalg_vector_norm",
        "max",
        "mean",
        "min",
        "std",
        "sum",
        "var",
        "var_mean",
    )
)

NORMS = {
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "softmax",
}


def width(dtype: str) -> int:
    """Bytes of one element."""
    return BYTES.get(dtype) or OTHER_BYTES.get(dtype, 4)


def kernels(execution: Execution, precision: str) -> Iterator[Kernel]:
    """The kernels of a run in a precision, casts included."""
    for operator in typed(execution, precision):
        run = operator.run
        for operand, before, after in operator.casts:
            moved: Amounts = {
                "read": width(before) * operand.elements,
                "written": width(after) * operand.elements,
                "launches": 1,
            }
            kind = "weight_cast" if operand.role == "parameter" else "cast"
            yield Kernel(kind, run.layer, run.phase, after, moved, "_to_copy")
        if run.name in NOTHING_LAUNCHED or _is_tiny(run):
            continue
        yield from _kernels(operator)


def _is_tiny(run: OperatorRun) -> bool:
    return not run.outputs or (max(o.elements for o in run.outputs) <= 1 and not run.macs)


def _kernels(operator: Typed) -> Iterator[Kernel]:
    run = operator.run
    make = _MAKERS.get(run.name, _streaming)
    for kind, amounts in make(operator):
        yield Kernel(kind, run.layer, run.phase, operator.dtype, amounts, run.name)


Made = Iterator[tuple[str, Amounts]]


def _read(operator: Typed) -> float:
    """Bytes of the distinct storages that it reads."""
    seen: dict[int, float] = {}
    for operand, dtype in zip(operator.run.inputs, operator.inputs, strict=True):
        size = width(dtype) * operand.elements
        seen[operand.storage] = max(size, seen.get(operand.storage, 0))
    return sum(seen.values())


def _written(operator: Typed) -> float:
    return sum(
        width(dtype) * operand.elements
        for operand, dtype in zip(operator.run.outputs, operator.outputs, strict=True)
    )


def _streaming(operator: Typed) -> Made:
    run = operator.run
    name = run.name.removesuffix("_")
    backward = run.phase == "backward"
    if name in NORMS or name.removesuffix("_backward") in NORMS or name == "_softmax_backward_data":
        kind = NORMS.get(name) or NORMS.get(name.removesuffix("_backward"), "softmax")
        if kind == "batch_norm" and run.phase == "forward" and run.arguments[:1] == (True,):
            kind = "batch_norm_statistics"
    elif name in COPIES or run.name in COPIES:
        kind = "copy"
    elif name in GATHERS:
        kind = "gather"
    elif name in REDUCTIONS:
        kind = "reduction"
    elif "pool" in name:
        kind = "pooling"
    elif "upsample" in name:
        kind = "upsampling"
    elif name in ACTIVATIONS:
        kind = "activation"
    else:
        kind = "elementwise"
    if kind in ("copy", "gather", "elementwise") and _mixed_order(run):
        kind = "transposition"
    if backward:
        kind += "_backward"
    yield kind, {"read": _read(operator), "written": _written(operator), "launches": 1}


def _mixed_order(run: OperatorRun) -> bool:
    """Whether large tensors of different order in memory meet."""
    large = max(operand.elements for operand in run.outputs)
    orders = {
        operand.order
        for operand in (*run.inputs, *run.outputs)
        if operand.elements * 2 > large and len(operand.shape) > 1
    }
    return len(orders) > 1


def _up(size: float, granule: int) -> float:
    return -(-size // granule) * granule


def _gemm(M: float, N: float, K: float, times: float, dtype: str) -> Amounts:
    """A matrix product (M, K) by (K, N), done `times` times.

    Tensor cores take K and N by eights.
    """
    granule = 8 if dtype in ("float16", "bfloat16") else 1
    N8, K8 = _up(N, granule), _up(K, granule)
    return {
        "flops": 2.0 * times * M * N8 * K8,
        "mn": 2.0 * times * M * N8,
        "mk": 2.0 * times * M * K8,
        "nk": 2.0 * times * N8 * K8,
        "launches": 1,
    }


def _convolution(operator: Typed) -> Made:
    run = operator.run
    x, weight = run.inputs[:2]
    stride, _, _, transposed, _, groups = _settings(run.arguments[-6:])
    applied = x if transposed else run.outputs[0]
    amounts, kind = _convolution_amounts(x, weight, applied, groups, stride, operator.dtype)
    amounts["read"] = _read(operator)
    amounts["written"] = _written(operator)
    yield kind, amounts
    if len(run.inputs) > 2:
        size = width(operator.dtype) * run.outputs[0].elements
        yield "bias", {"read": size, "written": size, "launches": 1}


def _settings(arguments: tuple[Argument, ...]) -> Sequence[Any]:
    """Arguments of a convolution, whose types its schema fixes."""
    return arguments


def _convolution_amounts(
    x: Operand, weight: Operand, applied: Operand, groups: int, stride: tuple[int, ...], dtype: str
) -> tuple[Amounts, str]:
    spatial = len(weight.shape) - 2
    kernel = prod(weight.shape[2:])
    M = applied.shape[0] * prod(applied.shape[-spatial:])
    columns, depth = weight.shape[0] // groups, weight.shape[1] * kernel
    amounts = _gemm(M, columns, depth, groups, dtype)
    kind = _convolution_kind(weight, groups, stride)
    amounts["unfolded"] = float(width(dtype) * M * weight.shape[1] * kernel * groups)
    return amounts, kind


def _convolution_kind(weight: Operand, groups: int, stride: tuple[int, ...]) -> str:
    side = max(weight.shape[2:])
    step = max(stride)
    few = weight.shape[1]
    if few == 1 and groups > 1:
        size = "3" if side <= 3 else "5" if side <= 5 else "large"
        return f"depthwise_{size}" + ("_strided" if step > 1 else "")
    if groups > 1:
        return f"grouped_{next((limit for limit in (4, 8, 16, 32, 64) if few <= limit), 128)}"
    if few <= 4:
        return "stem"
    if side == 1:
        return "pointwise"
    if step >= side:
        return "patches"
    if side == 3 and step == 1:
        return "convolution_3"
    return "convolution"


def _linear(operator: Typed) -> Made:
    run = operator.run
    a, b = run.inputs[-2:]
    M, K = a.shape
    amounts = _gemm(M, b.shape[1], K, 1, operator.dtype)
    amounts["read"] = _read(operator)
    amounts["written"] = _written(operator)
    yield "linear", amounts


def _bmm(operator: Typed) -> Made:
    run = operator.run
    a, b = run.inputs[-2:]
    times, M, K = a.shape
    amounts = _gemm(M, b.shape[2], K, times, operator.dtype)
    amounts["read"] = _read(operator)
    amounts["written"] = _written(operator)
    yield "batched_product", amounts


def _attention(operator: Typed) -> Made:
    run = operator.run
    q, k, v = run.inputs[:3]
    *leading, L, E = q.shape
    S = k.shape[-2]
    times = prod(leading)
    masked = len(run.inputs) > 3
    yield (
        "masked_attention" if masked else "attention",
        {
            "flops": 2.0 * times * L * S * (_up(E, 8) + _up(v.shape[-1], 8)),
            "weights": 2.0 * times * L * S,
            "read": _read(operator),
            "written": _written(operator),
            "launches": 1,
        },
    )


def _convolution_backward(operator: Typed) -> Made:
    run = operator.run
    gradient, x, weight = run.inputs[:3]
    stride, _, _, transposed, _, groups, mask = _settings(run.arguments[-7:])
    applied = x if transposed else gradient
    size = width(operator.dtype)
    for name, wanted in zip(("input_gradient", "weight_gradient"), mask, strict=False):
        if wanted:
            amounts, kind = _convolution_amounts(x, weight, applied, groups, stride, operator.dtype)
            amounts["read"] = float(size * gradient.elements)
            amounts["written"] = float(size * x.elements)
            yield f"{kind}_{name}", amounts
    if mask[2]:
        yield (
            "bias_gradient",
            {
                "read": float(size * gradient.elements),
                "written": 0.0,
                "launches": 1,
            },
        )


_MAKERS: dict[str, Callable[[Typed], Made]] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "addmm": _linear,
    "mm": _linear,
    "bmm": _bmm,
    "baddbmm": _bmm,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
}
