"""What the command line refuses by the kind of an option, for arguments of Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

from archscope.errors import ArchscopeError
from archscope.parameters import parameter


def require_one_of(name: str, given: str, known: Sequence[str]) -> None:
    """Refuse a word that means nothing.

    Raises:
        ArchscopeError: it is none of those known.
    """
    if given not in known:
        raise ArchscopeError(parameter(name, given), "is unknown", f"use one of {', '.join(known)}")


def require_least(name: str, given: int | None, least: int) -> None:
    """Refuse a number that is too small; `None` is left to its default.

    Raises:
        ArchscopeError: it is below the least one, or is not a whole number.
    """
    if given is not None and (not isinstance(given, int) or given < least):
        raise ArchscopeError(
            parameter(name, given), "is out of range", f"give a whole number from {least}"
        )


def require_names(layers: Sequence[object]) -> None:
    """Refuse an input where names of layers are wanted: it is given by its keyword.

    Raises:
        ArchscopeError: one is no text, or a text such as `1x28x28`.
    """
    for layer in layers:
        if not isinstance(layer, str) or re.fullmatch(r"\d+(x\d+|:)\S*", layer):
            remedy = (
                f"write input={layer!r}" if isinstance(layer, (str, tuple)) else "write input=…"
            )
            raise ArchscopeError(parameter("layers"), "takes names of layers", remedy)
