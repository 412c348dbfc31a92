"""`hf:` names: networks of transformers built from a configuration, without the hub.

`hf:llama` is an architecture with its default configuration, `hf:./model/` a folder with a
`config.json` (or that file), `hf:owner/name` a configuration that an earlier download left in the
local cache.
Nothing is downloaded, and no weights are read.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.records import InputSpec
from archscope.resolve.huggingface import configuration, inputs, tasks
from archscope.resolve.sides import SIDES, resized

if TYPE_CHECKING:
    from torch import nn

PREFIX = "hf:"
BUILD = ("task", "dtype", "attn_implementation", "experts_implementation")
"""Settings that decide how the network is built from a configuration."""

NOT_SETTINGS = (*BUILD, *SIDES)


class Configuration(Protocol):
    """A configuration of transformers, where it can be distinguished from other objects."""

    def to_dict(self) -> dict[str, Any]: ...


class Built(NamedTuple):
    """What a configuration leads to.

    Args:
        construct: builds the network.
        default_input: reads the input off the built network.
        notes: which class it is.
    """

    construct: Callable[[], object]
    default_input: Callable[[nn.Module], InputSpec | None]
    notes: tuple[str, ...]


def architectures() -> list[str]:
    """The name of every architecture (`model_type`) that transformers can configure.

    Raises:
        ArchscopeError: transformers is missing.
    """
    return configuration.architectures()


def named(name: str, keywords: Mapping[str, Any]) -> Built:
    """Prepare the network of a name without its `hf:`.

    Args:
        name: an architecture, a folder, a `config.json`, or a name of the hub in the local cache.
        keywords: settings of the configuration, and those of `BUILD` and `SIDES`.

    Raises:
        ArchscopeError: an unknown name, setting or task, or transformers is missing.
    """
    settings = {key: value for key, value in keywords.items() if key not in NOT_SETTINGS}
    return _built(PREFIX + name, functools.partial(configuration.find, name, settings), keywords)


def configured(name: str, config: Any, keywords: Mapping[str, Any]) -> Built:
    """Prepare the network of a configuration class, or of a configuration.

    Raises:
        ArchscopeError: an unknown setting or task.
    """
    settings = {key: value for key, value in keywords.items() if key not in NOT_SETTINGS}
    return _built(name, functools.partial(configuration.of, name, config, settings), keywords)


def is_configuration(value: object) -> TypeGuard[Configuration]:
    """Whether it is a configuration of transformers, or a class of them; imports nothing."""
    module = sys.modules.get("transformers.configuration_utils")
    if module is None:
        return False
    kind = module.PreTrainedConfig
    return isinstance(value, kind) or (isinstance(value, type) and issubclass(value, kind))


def _built(name: str, make: Callable[[], Any], keywords: Mapping[str, Any]) -> Built:
    config = make()
    kind = tasks.network_class(name, config, keywords.get("task"))
    options = _options(keywords)

    def construct() -> object:
        # A configuration of its own each time: building writes the dtype into it.
        return kind._from_config(tasks.configuration_for(kind, make()), **options)

    def default_input(module: nn.Module) -> InputSpec | None:
        tasks.require_forward(name, module)
        return resized(inputs.default_input(module, kind), keywords)

    return Built(construct, default_input, (tasks.note(config, kind, keywords),))


def _options(keywords: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    options = {
        key: keywords[key]
        for key in ("attn_implementation", "experts_implementation")
        if key in keywords
    }
    if "dtype" in keywords:
        dtype = getattr(torch, full_name(keywords["dtype"]), None)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ArchscopeError(
                f"dtype={keywords['dtype']}",
                "is not a floating dtype of PyTorch",
                "use float32, bfloat16 or float16",
            )
        options["dtype"] = dtype
    return options
