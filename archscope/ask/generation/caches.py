"""What a network returns to be given again: found in its outputs, and read layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from archscope.errors import ArchscopeError

NAMES = ("cache", "past_key_values", "cache_params", "state", "past", "mems", "kv_cache")
"""What outputs and arguments of `forward` call it."""


@dataclass(frozen=True)
class Held:
    """The tensors of one layer of a cache.

    Args:
        name: its place.
        kind: class of what holds them.
        tensors: in the order of its attributes.
        window: how many tokens its class says that a query sees, `None` where it says nothing.
    """

    name: str
    kind: str
    tensors: tuple[Tensor, ...]
    window: int | None = None

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


def find(model: str, outputs: Any, parameters: Mapping[str, Any]) -> tuple[str, Any]:
    """The cache among the outputs of a call, and the argument that takes it.

    Args:
        model: name of the network, for the message.
        outputs: a mapping, a tuple, or an object with attributes.
        parameters: of `forward`.

    Raises:
        ArchscopeError: nothing is returned that could be given again.
    """
    arguments = [name for name in NAMES if name in parameters]
    for name in (*arguments, *NAMES):
        found = _named(outputs, name)
        if found is not None and arguments:
            return (name if name in arguments else arguments[0]), found
    if isinstance(outputs, tuple) and len(outputs) > 1 and arguments:
        return arguments[0], outputs[1]
    raise ArchscopeError(
        model,
        "returns no cache that its forward takes again",
        "generation needs a network with one, such as hf:llama",
    )


def _named(outputs: Any, name: str) -> Any:
    if isinstance(outputs, Mapping):
        return outputs.get(name)
    return None if isinstance(outputs, tuple) else getattr(outputs, name, None)


def layers(cache: Any) -> list[Held]:
    """The tensors of a cache by layer; bookkeeping in private attributes is left out."""
    for part in ("self_attention_cache", "cross_attention_cache"):
        if hasattr(cache, part):
            return [
                *_prefixed("", layers(cache.self_attention_cache)),
                *_prefixed("cross ", layers(cache.cross_attention_cache)),
            ]
    held = getattr(cache, "layers", [cache] if isinstance(cache, Tensor) else cache)
    items: Iterator[tuple[Any, Any]]
    if isinstance(held, Mapping):
        items = iter(held.items())
    elif isinstance(held, (list, tuple)):
        items = iter(enumerate(held))
    else:
        items = iter(_public(held))
    found = (
        Held(str(key), _kind(value), tuple(_tensors(value)), getattr(value, "sliding_window", None))
        for key, value in items
    )
    return [layer for layer in found if layer.tensors]


def _prefixed(prefix: str, held: list[Held]) -> Iterator[Held]:
    return (replace(layer, name=prefix + layer.name) for layer in held)


def _kind(value: Any) -> str:
    return "tensors" if isinstance(value, (Tensor, list, tuple, dict)) else type(value).__name__


def _public(value: Any) -> list[tuple[str, Any]]:
    attributes = getattr(value, "__dict__", {})
    return [(key, item) for key, item in attributes.items() if not key.startswith("_")]


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors that hold something, in nested containers and public attributes."""
    if isinstance(value, Tensor):
        if value.numel():
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif not isinstance(value, type):
        for _, item in _public(value):
            if isinstance(item, (Tensor, list, tuple, Mapping)):
                yield from _tensors(item)
