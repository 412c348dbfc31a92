"""What users write on the command line: inputs (`3x224x224`) and constructor keywords (`k=v`)."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Dim, InputSpec, TensorSpec

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128",
)  # fmt: skip

EXAMPLES = "write it like 3x224x224 or ids=128:int64; [2x1000]:int64 has no batch, [] is a scalar"

_TENSOR = re.compile(
    r"(?:(?P<name>[^=:]*)=)?(?P<whole>\[)?(?P<shape>[^=:\[\]]*)(?(whole)\])"
    r"(?::(?P<dtype>[^=:]*))?\Z"
)
_DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+|-?[0-9]+\.|-?[0-9.]+e-?[0-9]+")
_WORDS = {"true": True, "false": False}


def parse_input(text: str | Sequence[str], batch: Dim = 1) -> InputSpec:
    """Read an input specification: per tensor `[name=]AxBxC[:dtype]`, several by commas.

    Sides are numbers or symbols (`3xHxW`) and leave out the batch, which comes in front; a shape in
    brackets, `mask=[2x1000]:bool`, gets none, and beside `edge_index=2x1000` nothing does. A scalar
    is `[]:int64`, `:int64`, or a number such as `3.0`. Where `forward(batch)` reads a dictionary,
    its entries are `batch.ids=128:int64,batch.mask=128`.

    Args:
        text: one specification, or several that follow each other.
        batch: size of the batch dimension, or its symbol.

    Raises:
        ArchscopeError: naming `--input` or `--batch`.
    """
    size = parse_batch(batch)
    try:
        return _read(text, size)
    except ArchscopeError:
        sides = re.findall("[0-9]+", text) if isinstance(text, str) and _SLIP.match(text) else []
        if not sides:
            raise
        guess = parameter("input", "x".join(sides))
    raise ArchscopeError(parameter("input", text), "is not an input", f"did you mean {guess}?")


_SLIP = re.compile(r"\s*[(\[]?\s*[0-9]+(?:\s*[xX*,;/ -]\s*[0-9]+)+\s*[xX,]?\s*[)\]]?\s*\Z")
"""Sizes written with another separator than `x`, or in brackets: `(3, 224, 224)`, `3*224*224`."""


def _read(text: str | Sequence[str], size: Dim) -> InputSpec:
    parts = [part for piece in ([text] if isinstance(text, str) else text)
             for part in piece.split(",")]  # fmt: skip
    tensors: list[TensorSpec] = []
    for part in parts:
        tensor = _tensor(part.strip(), size)
        if not tensor.name and tensors and tensors[-1].name:
            raise _bad(part, "has no name but follows a named input", "put unnamed inputs first")
        if tensor.name and tensor.name in {earlier.name for earlier in tensors}:
            raise _bad(part, f"repeats the input {tensor.name!r}", "name each input once")
        if clash := _clash(tensor.name, tensors):
            problem = f"{clash!r} is a tensor and a dictionary at once"
            raise _bad(part, problem, "give one of them")
        tensors.append(tensor)
    if any(tensor.name == EDGES for tensor in tensors):
        tensors = [*map(_without_batch, tensors)]
    return InputSpec(tuple(tensors))


def _clash(name: str, earlier: Sequence[TensorSpec]) -> str:
    """The argument that this name or an earlier one makes both; empty for none."""
    for other in (tensor.name for tensor in earlier):
        short, long = sorted((name, other), key=len)
        if short and long.startswith(f"{short}."):
            return short
    return ""


EDGES = "edge_index"
"""What PyTorch Geometric's layers call the edges of a graph: integers, and no input has a batch."""


def _without_batch(tensor: TensorSpec) -> TensorSpec:
    shape = tensor.shape[1:] if tensor.batched else tensor.shape
    return replace(tensor, shape=shape, batched=False)


def parse_batch(batch: Dim) -> Dim:
    """Read a batch size: a whole number from 1, or a symbol.

    Raises:
        ArchscopeError: naming `--batch`.
    """
    size = None if isinstance(batch, bool) else _side(str(batch))
    if size is None:
        raise ArchscopeError(
            parameter("batch", batch),
            "is not a batch size",
            "give a whole number from 1; archscope formula takes a symbol too",
        )
    return size


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs: numbers, True and False, None, `3,4,6,3` as a tuple, else text.

    Raises:
        ArchscopeError: naming `--set`.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = (piece.strip() for piece in pair.partition("="))
        if not (equals and text and all(part.isidentifier() for part in key.split("."))):
            raise ArchscopeError(
                parameter("set", pair),
                "is not of the form key=value",
                "write it like num_classes=2",
            )
        if key in settings:
            raise ArchscopeError(parameter("set", pair), f"sets {key} a second time", "set it once")
        settings[key] = _value(text)
    return settings


def setting_text(value: object) -> str:
    """Write a constructor keyword as `parse_settings` reads it; functions by their name."""
    if isinstance(value, tuple | list):
        return ",".join(map(setting_text, value)) + ("," if len(value) == 1 else "")
    return str(getattr(value, "__name__", value))


def input_text(spec: InputSpec) -> str:
    """Write an input, without its batch, as `parse_input` reads it."""
    return ",".join(map(_tensor_text, spec.tensors))


def _tensor_text(tensor: TensorSpec) -> str:
    sides = "x".join(map(str, tensor.shape[1:] if tensor.batched else tensor.shape))
    sides = sides if tensor.batched else f"[{sides}]"
    name = f"{tensor.name}=" if tensor.name else ""
    return f"{name}{sides}" + ("" if tensor.dtype == "float32" else f":{tensor.dtype}")


def _tensor(text: str, batch: Dim) -> TensorSpec:
    match = _TENSOR.match(text)
    if match is None or not (match["shape"] or match["whole"] or match["dtype"]):
        raise _bad(text, "is not an input", EXAMPLES)
    name, dtype = match["name"], match["dtype"]
    scalar = not match["shape"] or _DECIMAL.fullmatch(match["shape"]) is not None
    if name is not None and not all(part.isidentifier() for part in name.split(".")):
        raise _bad(text, f"{name!r} is not an argument name", EXAMPLES)
    usual = "int64" if name == EDGES else "float32"
    dtype = usual if dtype is None else full_name(dtype)
    if dtype not in DTYPES:
        raise _bad(text, f"unknown dtype {dtype!r}", f"use one of {', '.join(DTYPES)}")
    sides: list[Dim] = []
    for piece in re.split("[x×]", match["shape"]) if not scalar else ():
        side = _side(piece)
        if side is None:
            problem = f"{piece!r} is not a size" if piece else "a side is missing"
            raise _bad(text, problem, EXAMPLES)
        sides.append(side)
    batched = not (match["whole"] or scalar)
    shape = (batch, *sides) if batched else tuple(sides)
    return TensorSpec(shape, dtype, name or "", batched)


def _side(text: str) -> Dim | None:
    """A whole number from 1 or a symbol; `None` for anything else."""
    if re.fullmatch("[0-9]+", text):
        return int(text) or None
    return text if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text) else None


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, int | float | str | tuple | None) else text


def _bad(text: str, problem: str, remedy: str) -> ArchscopeError:
    return ArchscopeError(parameter("input", text), problem, remedy)
