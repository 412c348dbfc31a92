"""From a name to a network without weights, and its default input.

A name is one of archscope's zoo, of torchvision, `timm:NAME`, `hf:NAME`, `diffusers:NAME`,
`path/to/file.py:Class` or `package.module:factory`.
Nothing is downloaded, and torch and the libraries of networks are imported only when a name needs
them.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from archscope._version import __version__
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.process import interruptible
from archscope.records import InputSpec
from archscope.resolve.huggingface.configuration import lacking
from archscope.resolve.inputs import parse_batch, parse_input, parse_settings, setting_text
from archscope.resolve.published import published, published_entries
from archscope.resolve.recipe import Recipe
from archscope.resolve.sources import from_configuration, recipe
from archscope.resolve.storage import (
    build,
    build_unmoved,
    build_with_storage,
    weightless,
    weightless_copy,
)
from archscope.resolve.user_code import described

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Network",
    "constructed",
    "network",
    "of_configuration",
    "parse_batch",
    "parse_input",
    "parse_settings",
    "published",
    "published_entries",
    "versions",
    "weightless",
    "weightless_copy",
]


@dataclass(frozen=True)
class Network:
    """A network that was built to be counted.

    Args:
        name: as the user gave it.
        source: `archscope zoo`, `torchvision`, `timm`, `transformers`, `diffusers`, `file path`,
            `package` or `constructor`.
        module: by name, in eval mode with every parameter and buffer on the meta device.
        input: default input at batch 1; `None` where nobody says what the network takes.
        keywords: constructor keywords given by the user, as text.
        versions: of archscope, torch and the library that the network comes from.
        notes: sentences a reader of the numbers must know.
    """

    name: str
    source: str
    module: nn.Module
    input: InputSpec | None
    keywords: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    _construct: Callable[[], nn.Module] = field(repr=False, compare=False)

    def with_storage(self) -> nn.Module:
        """The same network on the CPU with its ordinary initialisation under a fixed seed.

        For networks whose control flow depends on values.
        Random number generators are left as they were.
        """
        return _built(self.name, build_with_storage, self._construct)


def network(name: str, /, **keywords: Any) -> Network:
    """Build a network by name, without storage for its weights.

    Args:
        name: of the zoo, of torchvision, `timm:NAME`, `hf:NAME`, `diffusers:NAME`, `file.py:Class`
            or `package.module:factory`.
        keywords: for the constructor or configuration; `seq` and `image` change the default input
            of a named network; torchvision's `norm_layer` and `activation` may be names.

    Raises:
        ArchscopeError: an unknown name or keyword, a file that cannot be imported, or a
            constructor that raises.
    """
    with interruptible():  # imports a library, or a user's file
        found = recipe(name, keywords)
    return _network(name, found, keywords)


def of_configuration(config: Any, keywords: Mapping[str, Any]) -> Network:
    """Build the network of a configuration of transformers, or of its class.

    Args:
        config: stays as it is.
        keywords: settings that differ from it, and `task`, `dtype`, `attn_implementation`.

    Raises:
        ArchscopeError: an unknown setting or task, or a constructor that raises.
    """
    kind = config if isinstance(config, type) else type(config)
    return _network(kind.__name__, from_configuration(kind.__name__, config, keywords), keywords)


def _network(name: str, found: Recipe, keywords: Mapping[str, Any]) -> Network:
    from torch import nn

    from archscope.resolve.watch import settle

    if isinstance(found.construct, nn.Module):
        construct = functools.partial(copy.deepcopy, found.construct)
        module = weightless_copy(found.construct).eval()
    else:
        construct = functools.partial(_network_of, name, found.construct)
        module = _built(name, build, construct)
    settle()
    return Network(
        name=name,
        source=found.source,
        module=module,
        input=found.default_input(module),
        keywords=_as_text(keywords),
        versions=versions(*found.libraries),
        notes=found.notes,
        _construct=construct,
    )


def constructed(factory: Callable[..., object], keywords: Mapping[str, Any]) -> Network:
    """Build a network with a class or function of the caller's.

    The caller may hold the network too, so it stays in its mode, and what was built before stays
    where it is.

    Raises:
        ArchscopeError: it raises, or makes something else.
    """
    name = getattr(factory, "__name__", type(factory).__name__)
    construct = functools.partial(_network_of, name, functools.partial(factory, **keywords))
    return Network(
        name=name,
        source="constructor",
        module=_built(name, build_unmoved, construct),
        input=None,
        keywords=_as_text(keywords),
        versions=versions(),
        notes=(),
        _construct=construct,
    )


def _as_text(keywords: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key, setting_text(value)) for key, value in keywords.items())


def _network_of(name: str, construct: Callable[[], object]) -> nn.Module:
    from torch import nn

    module = construct()
    if not isinstance(module, nn.Module):
        raise ArchscopeError(
            name,
            f"makes an instance of {type(module).__name__}, not an nn.Module",
            "name a class or a factory",
        )
    return module


def _built(
    name: str,
    builder: Callable[[Callable[[], nn.Module]], nn.Module],
    construct: Callable[[], nn.Module],
) -> nn.Module:
    """Call a builder, and tell in one line what the constructor raised."""
    try:
        return builder(construct)
    except ArchscopeError:
        raise
    except (Exception, SystemExit) as error:
        unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword.*'(\w+)'", str(error))
        if unknown:
            raise ArchscopeError(
                unknown[2], f"{name} takes no such keyword", f"see the constructor of {unknown[1]}"
            ) from error
        remedy = "check its code and the constructor keywords"
        if re.search(r"missing \d+ required", str(error)):
            remedy = f"give them by {parameter('set', 'NAME=VALUE')}"
        remedy = lacking(error) or remedy
        raise ArchscopeError(name, f"its constructor raises {described(error)}", remedy) from error


def versions(*libraries: str) -> tuple[tuple[str, str], ...]:
    """Of archscope, torch and these: what decides how a network is built and counted."""
    import torch

    own = (("archscope", __version__), ("torch", str(torch.__version__)))
    return (*own, *((library, _version(library)) for library in libraries))


@functools.cache
def _version(library: str) -> str:
    return metadata.version(library)
