"""`seq` and `image`: a default input with another length or another image size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Dim, InputSpec
from archscope.resolve.inputs import parse_batch, setting_text

SIDES = ("seq", "image")
"""Settings that change the default input and not the network, unless it has a size of its own."""


def resized(spec: InputSpec | None, keywords: Mapping[str, Any]) -> InputSpec | None:
    """The default input with the length `seq` and images of side `image`, where these are given.

    Args:
        spec: the default; `None` stays `None`.
        keywords: of the network; `seq` is a number or a symbol, `image` also a pair.

    Raises:
        ArchscopeError: the input has no such side.
    """
    if spec is None:
        return None
    if "seq" in keywords:
        length = _side("seq", keywords["seq"])
        spec = _changed(spec, _sequences(spec), parameter("seq", length), {1: length})
    if "image" in keywords:
        size = keywords["image"]
        height, width = size if isinstance(size, tuple) else (size, size)
        sides = {-2: _side("image", height), -1: _side("image", width)}
        images = {tensor.name for tensor in spec.tensors if len(tensor.shape) >= 4}
        spec = _changed(
            spec,
            images,
            parameter("image", size if isinstance(size, int) else setting_text(size)),
            sides,
        )
    return spec


def _sequences(spec: InputSpec) -> set[str]:
    """Names of the tensors of tokens; without any, of those of samples or frames."""
    whole = {t.name for t in spec.tensors if len(t.shape) == 2 and t.dtype.startswith("int")}
    return whole or {t.name for t in spec.tensors if len(t.shape) in (2, 3) and t.batched}


def _changed(spec: InputSpec, names: set[str], asked: str, sides: Mapping[int, Dim]) -> InputSpec:
    """The input with other sides of the named tensors, by their axis."""
    if not names:
        raise ArchscopeError(
            asked, f"the input {spec} has none", f"give it by {parameter('input')}"
        )
    tensors = []
    for tensor in spec.tensors:
        shape = list(tensor.shape)
        for axis, side in sides.items() if tensor.name in names else ():
            shape[axis] = side
        tensors.append(replace(tensor, shape=tuple(shape)))
    return InputSpec(tuple(tensors), spec.layout)


def _side(key: str, value: Any) -> Dim:
    try:
        return parse_batch(value)
    except ArchscopeError as error:
        raise ArchscopeError(
            parameter(key, str(value)), "is not a size", "give a whole number"
        ) from error
