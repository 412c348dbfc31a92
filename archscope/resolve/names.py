"""Names of networks by pattern: `resnet*`, `timm:vit_*`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path

from archscope import zoo
from archscope.errors import ArchscopeError
from archscope.resolve import timm_models, vision
from archscope.resolve.huggingface import PREFIX, architectures
from archscope.resolve.signatures import did_you_mean

LIST_ALL = "list all names with `archscope models`"


def known(pattern: str) -> list[str]:
    """The names of the library that a pattern's prefix means; of the zoo and torchvision without.

    Raises:
        ArchscopeError: the library is missing.
    """
    if pattern.startswith("timm:"):
        return [f"timm:{name}" for name in timm_models.names()]
    if pattern.startswith(PREFIX):
        return [PREFIX + name for name in architectures()]
    return [*zoo.names(), *vision.names()]


def is_glob(text: str) -> bool:
    """Whether a text chooses names by `*`, `?` or `[`, and is no path of a file."""
    return any(sign in text for sign in "*?[") and not Path(text).suffix and ".py:" not in text


def matching(pattern: str) -> list[str]:
    """The names that match a pattern, or hold it where it has no `*`, `?` or `[`."""
    wanted, names = pattern.lower(), known(pattern)
    if is_glob(wanted):
        return [name for name in names if fnmatch.fnmatchcase(name.lower(), wanted)]
    return [name for name in names if wanted in name.lower()]


def expanded(texts: Iterable[str]) -> list[str]:
    """Names in place of patterns, each once; what is not a pattern stays as it is.

    Raises:
        ArchscopeError: no name matches a pattern.
    """
    found: list[str] = []
    for text in texts:
        names = matching(text) if is_glob(text) else [text]
        if not names:
            remedy = did_you_mean(text.strip("*?"), known(text)) or LIST_ALL
            raise ArchscopeError(text, "no network has such a name", remedy)
        found += [name for name in names if not is_glob(text) or name not in found]
    return found
