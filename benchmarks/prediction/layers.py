"""The public tables of single layers → measurements with the operator that was timed."""

from __future__ import annotations

import ast
import csv
import gzip
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tables import SHARED

from archscope.records import Execution, LayerName, Operand, OperatorRun
from archscope.records.execution import Phase, Role

Row = dict[str, str]

NEUSIGHT = {
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "NVIDIA A100-PCIE-40GB": "a100-pcie-40gb",
    "Tesla P100-PCIE-16GB": "p100-pcie",
    "Tesla P4": "p4",
    "Tesla T4": "t4",
    "Tesla V100-PCIE-32GB": "v100-pcie",
    "AMD Instinct MI100": "mi100",
    "AMD Instinct MI210": "mi210",
    "AMD Instinct MI250": "mi250",
}

DEEPBENCH = {
    "AMD_MI25": "mi25",
    "AMD_VegaFE": "vegafe",
    "NV_1080Ti": "gtx1080ti",
    "NV_M40": "m40",
    "NV_P100": "p100-pcie",
    "NV_TitanX": "titanx-maxwell",
    "NV_TitanX_Pascal": "titanx-pascal",
    "NV_TitanXp": "titanxp",
    "NV_V100": "v100-sxm",
}

AICONFIGURATOR = {
    "a100_sxm": "a100-sxm-80gb",
    "h100_sxm": "h100-sxm",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtxpro6000-server",
}

MOST = 1500
"""Rows that are drawn of each device of a large table."""


@dataclass(frozen=True)
class LayerMeasurement:
    """Operators that were timed without a network around them.

    Args:
        what: such as `convolution forward`.
        dtype: in which they ran.
    """

    table: str
    device: str
    what: str
    dtype: str
    operators: tuple[OperatorRun, ...]
    seconds: float

    @property
    def execution(self) -> Execution:
        return Execution(self.operators, (LayerName("", "Module", 0),))


def layer_measurements() -> Iterator[LayerMeasurement]:
    """All single layers of all tables that have a positive time."""
    for part in (_convolutions, _linear, _elementwise, _modules, _deepbench, _products):
        yield from (found for found in part() if found.seconds > 0)


def _drawn(path: str, device: Callable[[Row], str | None]) -> Iterator[tuple[str, Row]]:
    """Rows of a table, at most `MOST` a device, drawn by a fixed seed."""
    opened = gzip.open if path.endswith(".gz") else open
    rows: dict[str, list[Row]] = defaultdict(list)
    with opened(SHARED / path, "rt") as lines:
        for row in csv.DictReader(lines):
            key = device(row)
            if key is not None:
                rows[key].append(row)
    for key, found in rows.items():
        chosen = random.Random(0).sample(found, min(MOST, len(found)))
        yield from ((key, row) for row in chosen)


def _tensor(storage: int, shape: Sequence[int], role: Role = "activation") -> Operand:
    return Operand(storage, tuple(shape), "float32", role, prod(shape), (), prod(shape))


def _convolution(
    batch: int, channels: int, out: int, kernel: tuple[int, int], image: tuple[int, int],
    padding: tuple[int, int], stride: tuple[int, int], which: str,
) -> OperatorRun:  # fmt: skip
    """A convolution or one of its gradients; `which` is `forward`, `input` or `weight`."""
    pairs = zip(image, padding, kernel, stride, strict=True)
    sides = [(side + 2 * pad - taps) // step + 1 for side, pad, taps, step in pairs]
    x = _tensor(0, (batch, channels, *image))
    weight = _tensor(1, (out, channels, *kernel), "parameter")
    y = _tensor(2, (batch, out, *sides))
    arguments: tuple[Any, ...] = (stride, padding, (1, 1), False, (0, 0), 1)
    if which == "forward":
        return OperatorRun("convolution", 0, "forward", (x, weight), (y,), (None, *arguments))
    mask = (which == "input", which == "weight", False)
    result = (x,) if which == "input" else (weight,)
    return OperatorRun(
        "convolution_backward", 0, "backward", (y, x, weight), result, ((0,), *arguments, mask)
    )


def _product(
    rows: int, columns: int, depth: int, *, bias: bool = False, second: Role = "parameter",
    phase: Phase = "forward",
) -> OperatorRun:  # fmt: skip
    operands = (_tensor(0, (rows, depth)), _tensor(1, (depth, columns), second))
    y = _tensor(2, (rows, columns))
    if bias:
        inputs = (_tensor(3, (columns,), "parameter"), *operands)
        return OperatorRun("addmm", 0, phase, inputs, (y,), ())
    return OperatorRun("mm", 0, phase, operands, (y,), ())


def _convolutions() -> Iterator[LayerMeasurement]:
    for key, row in _drawn(
        "neusight/conv2d_fp32_forward.csv", lambda row: NEUSIGHT.get(row["gpu"])
    ):
        batch, channels, out, taps, side, pad, step = (
            int(row[name])
            for name in (
                "batch", "in_channels", "out_channels", "kernel", "input_size", "padding", "stride",
            )
        )  # fmt: skip
        run = _convolution(
            batch, channels, out, (taps, taps), (side, side), (pad, pad), (step, step), "forward"
        )
        yield LayerMeasurement(
            "neusightconv", key, "convolution forward", "float32", (run,), _ms(row["latency_ms"])
        )


def _linear() -> Iterator[LayerMeasurement]:
    path = "neusight/linear_fp32_forward_train.csv"
    for key, row in _drawn(path, lambda row: NEUSIGHT.get(row["gpu"])):
        run = _product(int(row["m"]), int(row["n"]), int(row["k"]), bias=True)
        yield LayerMeasurement(
            "neusightlinear", key, "linear forward", "float32", (run,), _ms(row["latency_ms"])
        )


def _elementwise() -> Iterator[LayerMeasurement]:
    path = "neusight/elementwise_fp32_forward.csv"
    names = {"ln": "native_layer_norm", "softmax": "_softmax", "relu": "relu", "add": "add"}
    for key, row in _drawn(path, lambda row: NEUSIGHT.get(row["gpu"])):
        shape = (int(row["batch"]), int(row["width"]))
        name = names[row["op"]]
        inputs = (_tensor(0, shape), _tensor(1, shape)) if name == "add" else (_tensor(0, shape),)
        run = _on_rows(name, inputs, shape)
        yield LayerMeasurement(
            "neusightelementwise", key, f"{row['op']} forward", "float32", (run,),
            _ms(row["latency_ms"]),
        )  # fmt: skip


def _on_rows(name: str, inputs: tuple[Operand, ...], shape: Sequence[int]) -> OperatorRun:
    arguments: dict[str, tuple[Any, ...]] = {
        "native_layer_norm": ((shape[-1],), 1e-5),
        "_softmax": (-1, False),
    }
    outputs = (_tensor(2, shape),)
    return OperatorRun(name, 0, "forward", inputs, outputs, arguments.get(name, ()))


def _modules() -> Iterator[LayerMeasurement]:
    """Operators of transformers, forward and backward."""
    with (SHARED / "neusight" / "model_perop_forward_backward.csv").open() as lines:
        for row in csv.DictReader(lines):
            key = NEUSIGHT.get(row["gpu"].replace("_", " "))
            try:
                inputs, out = (ast.literal_eval(row[k]) for k in ("input_shapes", "output_shape"))
            except (SyntaxError, ValueError):
                continue
            if key is not None:
                for what, runs, ms in _module(row, inputs, out):
                    yield LayerMeasurement("perop", key, what, "float32", runs, _ms(ms))


def _module(
    row: Row, inputs: Any, out: Sequence[int]
) -> Iterator[tuple[str, tuple[OperatorRun, ...], str]]:
    called = row["op"] == "call_module"
    if called and "linear.Linear" in row["module_class"]:
        rows, columns, depth = prod(out[:-1]), out[-1], inputs[0][-1]
        forward = _product(rows, columns, depth, bias="lm_head" not in row["target"])
        yield "linear forward", (forward,), row["forward_ms"]
        backward = (
            _product(rows, depth, columns, phase="backward"),
            _product(depth, columns, rows, second="activation", phase="backward"),
        )
        yield "linear backward", backward, row["backward_ms"]
    elif called and "LayerNorm" in row["module_class"]:
        run = _on_rows("native_layer_norm", (_tensor(0, out),), out)
        yield "ln forward", (run,), row["forward_ms"]
    elif "softmax" in row["target"]:
        yield "softmax forward", (_on_rows("_softmax", (_tensor(0, out),), out),), row["forward_ms"]


def _deepbench() -> Iterator[LayerMeasurement]:
    with (SHARED / "deepbench" / "conv_train_forward_backward.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["gpu"] in DEEPBENCH:
                yield from _deepbench_convolution(row)
    with (SHARED / "deepbench" / "gemm_train.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["gpu"] in DEEPBENCH:
                run = _product(*(int(row[side]) for side in "mnk"))
                yield LayerMeasurement(
                    *_deepbench_place(row, "linear forward"), (run,), _ms(row["time_ms"])
                )


def _deepbench_place(row: Row, what: str) -> tuple[str, str, str, str]:
    half = "16" in row["precision"]
    table = "deepbenchhalf" if half else "deepbenchfloat"
    return table, DEEPBENCH[row["gpu"]], what, "float16" if half else "float32"


def _deepbench_convolution(row: Row) -> Iterator[LayerMeasurement]:
    def pair(name: str) -> tuple[int, int]:
        return int(float(row[f"{name}_h"])), int(float(row[f"{name}_w"]))

    image, padding, stride, kernel = map(pair, ("input", "pad", "stride", "filter"))
    if any(taps > side + 2 * pad for taps, side, pad in zip(kernel, image, padding, strict=True)):
        kernel = (kernel[1], kernel[0])  # the speech rows name the sides the other way round
    batch, channels, out = (int(float(row[k])) for k in ("batch", "in_channels", "out_channels"))
    for which, column in (
        ("forward", "forward_ms"), ("input", "backward_input_ms"), ("weight", "backward_weight_ms"),
    ):  # fmt: skip
        try:
            seconds = _ms(row[column])
        except ValueError:
            continue
        run = _convolution(batch, channels, out, kernel, image, padding, stride, which)
        what = "convolution forward" if which == "forward" else f"convolution {which} gradient"
        yield LayerMeasurement(*_deepbench_place(row, what), (run,), seconds)


def _products() -> Iterator[LayerMeasurement]:
    path = "aiconfigurator/gemm_bf16.csv.gz"
    for key, row in _drawn(path, lambda row: AICONFIGURATOR.get(row["system"])):
        run = _product(*(int(row[side]) for side in "mnk"))
        yield LayerMeasurement(
            "aiconfigurator", key, "linear forward", "bfloat16", (run,), _ms(row["latency_ms"])
        )


def _ms(text: str) -> float:
    return float(text) / 1e3
