"""Names of networks by pattern: `resnet*`, `timm:vit_*`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from archscope import zoo
from archscope.errors import ArchscopeError
from archscope.resolve import diffusion, timm_models, vision
from archscope.resolve.huggingface import PREFIX, architectures
from archscope.resolve.signatures import did_you_mean

Named = TypeVar("Named")

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
    if pattern.startswith(diffusion.PREFIX):
        return [diffusion.PREFIX + name for name in diffusion.classes()]
    if pattern.startswith(vision.PREFIX):
        return [vision.PREFIX + name for name in vision.names()]
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


def run_together(text: str) -> ArchscopeError | None:
    """What to say of several names with commas between them; `None` for any other text."""
    names = [part.strip() for part in text.split(",")]
    if len(names) < 2 or not set(names) <= set(known("")):
        return None
    remedy = f"name them one after the other without commas: {' '.join(names)}"
    return ArchscopeError(text, "is more than one network", remedy)


def expanded(models: Iterable[Named]) -> list[Named | str]:
    """Names in place of patterns, each once; what is not a pattern stays as it is.

    Raises:
        ArchscopeError: no name matches a pattern.
    """
    found: list[Named | str] = []
    for model in models:
        if not isinstance(model, str) or not is_glob(model):
            found.append(model)
            continue
        names = matching(model)
        if not names:
            remedy = did_you_mean(model.strip("*?"), known(model)) or LIST_ALL
            raise ArchscopeError(model, "no network has such a name", remedy)
        present = {one for one in found if isinstance(one, str)}
        found += [name for name in names if name not in present]
    return found
