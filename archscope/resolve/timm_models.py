"""The networks of timm, by their names."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.records import InputSpec
from archscope.resolve.inputs import parse_input
from archscope.resolve.recipe import Recipe, for_constructor
from archscope.resolve.sides import resized
from archscope.resolve.signatures import nearest

if TYPE_CHECKING:
    from torch import nn


def has(name: str) -> bool:
    """Whether timm can build a network of that name.

    Raises:
        ArchscopeError: timm is not installed.
    """
    return bool(_timm().is_model(name))


def names() -> list[str]:
    """Every name that timm can build.

    Raises:
        ArchscopeError: timm is not installed.
    """
    return list(_timm().list_models())


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ArchscopeError(
            "timm", f"cannot be imported ({error})", "install it: python -m pip install timm"
        ) from error


def recipe(name: str, keywords: Mapping[str, Any]) -> Recipe:
    """How the network of that name is constructed.

    Raises:
        ArchscopeError: timm is not installed, has no such name, or is to load weights.
    """
    timm = _timm()
    if not has(name):
        raise ArchscopeError(
            f"timm:{name}", "timm has no such network",
            nearest(name, timm.list_models(), "see timm.list_models(); it has")[:200],
        )  # fmt: skip
    for key in ("pretrained", "checkpoint_path"):
        if keywords.get(key):
            raise ArchscopeError(
                key, "archscope counts without weights and downloads none", "leave it out"
            )

    given = keywords
    sized = "image" in given and timm.get_pretrained_cfg(name).fixed_input_size
    keywords = for_constructor(given, "img_size" if sized else None)

    def default_input(module: nn.Module) -> InputSpec | None:
        config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
        channels, *sides = config.get("input_size", (3, 224, 224))
        if "img_size" in keywords:
            size = keywords["img_size"]
            sides = list(size) if isinstance(size, tuple) else [size] * len(sides)
        channels = keywords.get("in_chans", channels)
        return resized(parse_input("x".join(map(str, (channels, *sides)))), given)

    construct = functools.partial(timm.create_model, name, **keywords)
    return Recipe("timm", construct, default_input, ("timm",))
