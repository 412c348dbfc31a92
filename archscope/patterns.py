"""The one meaning of a PATTERN that chooses layers."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from archscope.errors import ArchscopeError


def matching(pattern: str, name: str, kind: str = "") -> bool:
    """Whether a pattern chooses a layer.

    A pattern is the name of a layer or of a module around it (`layer4` chooses all inside), a glob
    of names (`layer1.*.conv2`; `*` crosses dots), or a class or a glob of classes (`Conv2d`).

    Args:
        pattern: case-sensitive.
        name: dotted path of the layer, empty for the network itself.
        kind: class name of the layer; empty where it does not count.
    """
    return (
        name == pattern
        or name.startswith(f"{pattern}.")
        or fnmatchcase(name, pattern)
        or (kind != "" and fnmatchcase(kind, pattern))
    )


def unmatched(argument: str, pattern: str, whose: str, names: Iterable[str]) -> ArchscopeError:
    """What to say of a pattern that chooses nothing.

    Args:
        argument: the option or argument that it was given as.
        pattern: as given.
        whose: names the network.
        names: those that it could have chosen.
    """
    near = get_close_matches(pattern, filter(None, names), n=3)
    remedy = f"did you mean {', '.join(near)}?" if near else "archscope summary lists its layers"
    return ArchscopeError(argument, f"{whose} has no such layer", remedy)
