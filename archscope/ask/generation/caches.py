"""What a network returns to be given again: found in its outputs, and read layer by layer."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from archscope.analysis.borrow import members

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
        every: tokens that its class makes one entry of once it has so many; 0 where it makes none.
    """

    name: str
    kind: str
    tensors: tuple[Tensor, ...]
    window: int | None = None
    every: int = 0

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


def find(outputs: Any, parameters: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The argument that takes the cache, and the cache among the outputs of a call.

    Args:
        outputs: a mapping, a tuple, or an object with attributes.
        parameters: of `forward`.

    Returns:
        `None` where nothing is returned that could be given again.
    """
    arguments = [name for name in NAMES if name in parameters]
    for name in (*arguments, *NAMES):
        found = _named(outputs, name)
        if found is not None and arguments:
            return (name if name in arguments else arguments[0]), found
    if isinstance(outputs, tuple) and len(outputs) > 1 and arguments:
        return arguments[0], outputs[1]
    return None


def empty(network: nn.Module, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The argument of a network of transformers that takes a cache, with an empty one.

    Nothing where there is no such argument. So transformers' own `generate()` calls networks that
    fill a cache and return none, as RecurrentGemma.
    """
    library = sys.modules.get("transformers")
    names = [name for name in ("cache", "past_key_values") if name in parameters]
    if library is None or not names or not isinstance(network, library.PreTrainedModel):
        return {}
    if not network.can_generate():  # an encoder fills a cache, too
        return {}
    return {names[0]: library.DynamicCache(config=network.config)}


def encoded(hidden: Tensor) -> Any:
    """What an encoder returned, as a decoder takes it: by place, in transformers by name too.

    A mixture asks for its routers' results, which nothing needs here.
    """
    library = sys.modules.get("transformers")
    if library is None:
        return (hidden,)
    return library.modeling_outputs.MoEModelOutput(last_hidden_state=hidden)


def states(network: nn.Module) -> list[Held]:
    """Tensors that modules keep as plain attributes, as RecurrentGemma its recurrent states."""
    return [
        Held(f"{name}.{key}", type(module).__name__, (value,))
        for name, module in members(network).items()
        for key, value in vars(module).items()
        if isinstance(value, Tensor)
    ]


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
    if isinstance(cache, Tensor):
        cache = [cache]
    items = [*_items(getattr(cache, "layers", cache))]
    if hasattr(cache, "layers"):  # what is kept beside them, as MiniMax keeps its linear attention
        items += [
            (f"{key}.{place}", value)
            for key, values in _public(cache)
            if key != "layers" and isinstance(values, (list, tuple, Mapping))
            for place, value in _items(values)
        ]
    found = (held for key, value in items for held in _held(str(key), value))
    return [layer for layer in found if layer.tensors or layer.every]


def _held(name: str, value: Any) -> Iterator[Held]:
    """A layer; as two where it has the last tokens as they are and the others compressed."""
    every, window = getattr(value, "compress_rate", None), getattr(value, "sliding_window", None)
    distinct = tuple({id(tensor): tensor for tensor in tensors(value)}.values())
    if not isinstance(every, int) or every < 2:
        yield Held(name, _kind(value), distinct, window)
        return
    recent = {id(getattr(value, key, None)) for key in ("keys", "values")}
    own = tuple(tensor for tensor in distinct if id(tensor) in recent)
    others = tuple(tensor for tensor in distinct if id(tensor) not in recent)
    yield Held(name, _kind(value), own, window)
    yield Held(f"{name} compressed", _kind(value), others, every=every)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a container or an object holds, by place or name."""
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else _public(value)


def _prefixed(prefix: str, held: list[Held]) -> Iterator[Held]:
    return (replace(layer, name=prefix + layer.name) for layer in held)


def _kind(value: Any) -> str:
    return "tensors" if isinstance(value, (Tensor, list, tuple, dict)) else type(value).__name__


def _public(value: Any) -> list[tuple[str, Any]]:
    attributes = getattr(value, "__dict__", {})
    return [(key, item) for key, item in attributes.items() if not key.startswith("_")]


def tensors(value: Any) -> Iterator[Tensor]:
    """Tensors that hold something, in nested containers and public attributes."""
    if isinstance(value, Tensor):
        if value.numel():
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif not isinstance(value, type):
        for _, item in _public(value):
            if isinstance(item, (Tensor, list, tuple, Mapping)):
                yield from tensors(item)
