"""Whatever the user names → a network ready to be counted: a name, a module, a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.records import InputSpec

if TYPE_CHECKING:
    from torch import nn

    from archscope.resolve import Network
    from archscope.resolve.huggingface import Configuration

    Source = str | nn.Module | Callable[..., object] | Configuration
    """A network's name, the network itself, or the class, function or configuration of it."""


@dataclass(frozen=True)
class Subject:
    """A network ready to be counted.

    Args:
        name: as the user gave it.
        module: the network, with or without storage.
        default_input: what it is called with when the user says nothing.
        rebuild: the same network with values, for control flow that depends on them.
        keywords: constructor keywords given by the user, as text.
        versions: of every library that decides the answer.
        notes: sentences a reader must know.
        private: nobody else has the module, so it need not be handed back as it was.
    """

    name: str
    module: nn.Module
    default_input: InputSpec | None
    rebuild: Callable[[], nn.Module] | None
    keywords: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    private: bool = False


def find(model: Source, keywords: Mapping[str, Any]) -> Subject:
    """The network behind a name, module, class, factory or configuration.

    Raises:
        ArchscopeError: nothing of that name, or it cannot be built.
    """
    from archscope.ask.network.countable import require_countable, unwrapped

    found = _found(model, keywords)
    module, notes = unwrapped(found.module)
    require_countable(found.name, module)
    if not notes:
        return found
    wrapped = found.rebuild
    rebuild = None if wrapped is None else lambda: unwrapped(wrapped())[0]
    return replace(found, module=module, rebuild=rebuild, notes=(*found.notes, *notes))


def _found(model: Source, keywords: Mapping[str, Any]) -> Subject:
    from archscope.resolve import constructed, network, of_configuration
    from archscope.resolve.huggingface import is_configuration

    if isinstance(model, str):
        return _subject(network(model, **keywords), private=True)
    from torch import nn

    if isinstance(model, nn.Module):
        if keywords:
            problem = f"{type(model).__name__} is built already and takes no keywords"
            raise ArchscopeError(next(iter(keywords)), problem, "pass its class")
        return _given(model)
    if is_configuration(model):
        return _subject(of_configuration(model, keywords), private=True)
    if callable(model):
        return _subject(constructed(model, keywords), private=False)
    raise ArchscopeError(
        repr(model)[:60], "is not a network", "give a name, an nn.Module, or a class that makes one"
    )


def _subject(found: Network, private: bool) -> Subject:
    return Subject(
        found.name,
        found.module,
        found.input,
        found.with_storage,
        found.keywords,
        found.versions,
        found.notes,
        private,
    )


def _given(module: nn.Module) -> Subject:
    from archscope.ask.network.countable import unwrapped
    from archscope.resolve import versions

    name = type(unwrapped(module)[0]).__name__
    has_values = all(not tensor.is_meta for tensor in module.parameters())
    rebuild = (lambda: module) if has_values else None
    return Subject(name, module, None, rebuild, versions=versions())
