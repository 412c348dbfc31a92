"""How a network is constructed, wherever its name leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.records import InputSpec
from archscope.resolve import huggingface
from archscope.resolve.sides import SIDES

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How to construct one network, and what is known before that.

    Args:
        source: `archscope zoo`, `torchvision`, `timm`, `transformers`, `diffusers`, `file path` or
            `package`.
        construct: builds it again at each call, or is the finished module that a file holds.
        default_input: from the built network; `None` where nobody says.
        libraries: packages whose versions decide the network.
        notes: sentences a reader of the numbers must know.
    """

    source: str
    construct: Callable[[], object] | nn.Module
    default_input: Callable[[nn.Module], InputSpec | None]
    libraries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def of_transformers(source: str, built: huggingface.Built) -> Recipe:
    """How a network of transformers is constructed."""
    return Recipe(source, built.construct, built.default_input, ("transformers",), built.notes)


def for_constructor(keywords: Mapping[str, Any], size: str | None) -> dict[str, Any]:
    """The keywords without `SIDES`; an image's size goes to a constructor that fixes one.

    Args:
        keywords: given by the user.
        size: the constructor's keyword for it, `None` where any size runs.
    """
    rest = {key: value for key, value in keywords.items() if key not in SIDES}
    if size is not None and "image" in keywords:
        rest.setdefault(size, keywords["image"])
    return rest
