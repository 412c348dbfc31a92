"""Where a name leads: the zoo, torchvision, timm, transformers, a file or a package."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import InputSpec
from archscope.resolve import diffusion, huggingface, timm_models, user_code, vision
from archscope.resolve.inputs import parse_input
from archscope.resolve.names import run_together
from archscope.resolve.recipe import Recipe, for_constructor, of_transformers
from archscope.resolve.sides import resized
from archscope.resolve.signatures import (
    accepted_keywords,
    check_keywords,
    did_you_mean,
)

if TYPE_CHECKING:
    from torch import nn


def recipe(name: str, keywords: Mapping[str, Any]) -> Recipe:
    """Find a name of the zoo, `hf:…`, `diffusers:…`, `timm:…`, `FILE.py:CLASS`, `PACKAGE:NAME`.

    Anything else is a name of torchvision, as is `torchvision:…`.

    Raises:
        ArchscopeError: nothing has that name (the nearest ones are suggested), a file or package
            cannot be imported or lacks it, or a keyword is unknown.
    """
    from archscope import zoo

    place, colon, attribute = name.rpartition(":")
    if name in zoo.names():
        return _from_zoo(name, keywords)
    if name.startswith(huggingface.PREFIX):
        built = huggingface.named(name.removeprefix(huggingface.PREFIX), keywords)
        return of_transformers("transformers", built)
    if name.startswith(diffusion.PREFIX):
        made = diffusion.named(name.removeprefix(diffusion.PREFIX), keywords)
        return Recipe("diffusers", *made, ("diffusers",))
    if name.startswith(vision.PREFIX):
        return _named_of_torchvision(attribute, keywords)
    if place == "timm":
        return timm_models.recipe(attribute, keywords)
    if name.endswith(".py") or (colon and place.endswith(".py")):
        return user_code.from_file(*((place, attribute) if colon else (name, "")), keywords)
    if colon:
        return user_code.from_package(place, attribute, keywords)
    if name in vision.names():
        return _from_torchvision(name, keywords)
    if name.endswith(".json"):
        raise ArchscopeError(name, "is a file, and this needs the network itself", "name that")
    several = run_together(name)
    if several is not None:
        raise several
    raise ArchscopeError(
        name,
        "unknown network",
        did_you_mean(name, [*zoo.names(), *vision.names()])
        or "list the names with `archscope models`, or give path/to/file.py:Class",
    )


def from_configuration(name: str, config: Any, keywords: Mapping[str, Any]) -> Recipe:
    """How to construct the network of a configuration of transformers, or of its class.

    Raises:
        ArchscopeError: an unknown setting or task.
    """
    return of_transformers("transformers", huggingface.configured(name, config, keywords))


def _from_zoo(name: str, keywords: Mapping[str, Any]) -> Recipe:
    from archscope import zoo

    card = zoo.card(name)
    module = importlib.import_module(f"archscope.zoo.{card.family}")
    constructor = getattr(module, card.constructor)
    sized = "image_size" in (accepted_keywords(constructor) or ())
    given, keywords = keywords, for_constructor(keywords, "image_size" if sized else None)
    check_keywords(name, constructor, keywords)

    def default_input(module: nn.Module) -> InputSpec | None:
        sides = card.input.split("x")
        sides[0] = str(keywords.get("input_channels", sides[0]))
        if "image_size" in keywords:
            sides[1:] = [str(keywords["image_size"])] * (len(sides) - 1)
        return resized(parse_input("x".join(sides)), given)

    def construct() -> nn.Module:
        try:
            return zoo.build(name, **keywords)
        except ValueError as error:  # the zoo says `keyword=value: what is admissible`
            given, _, admissible = str(error).partition(": ")
            raise ArchscopeError(parameter("set", given), admissible) from error

    return Recipe("archscope zoo", construct, default_input)


def _named_of_torchvision(name: str, keywords: Mapping[str, Any]) -> Recipe:
    names = vision.names()
    if name not in names:
        remedy = did_you_mean(name, names) or "list the names with `archscope models`"
        raise ArchscopeError(vision.PREFIX + name, "torchvision has no such network", remedy)
    return _from_torchvision(name, keywords)


def _from_torchvision(name: str, keywords: Mapping[str, Any]) -> Recipe:
    given = keywords
    keywords = for_constructor(given, "image_size" if name.startswith("vit_") else None)
    complete, notes = vision.complete(name, keywords)
    check_keywords(name, vision.builder(name), keywords)
    spec = resized(vision.default_input(name, keywords), given)
    construct = functools.partial(vision.construct, name, complete)
    return Recipe("torchvision", construct, lambda module: spec, ("torchvision",), notes)
