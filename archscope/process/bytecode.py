"""What names the code of a function uses, sets and may compute."""

from __future__ import annotations

import builtins
import dis
import functools
import types
from typing import NamedTuple

COMPUTES = frozenset({"setattr", "delattr", "vars", "globals", "exec", "eval", "__dict__"})
"""With one of these, code sets what it does not name."""


class Names(NamedTuple):
    """Of one piece of code, without the functions inside of it.

    Args:
        read: that it looks up in its module, or sets there.
        bound: that it sets or deletes in its module.
        attributes: that it sets or deletes, of whatever object.
        cells: of variables of a function around it, that it sets or deletes.
        mentioned: everything that it names, also in texts.
        computes: whether it may set other names too.
    """

    read: tuple[str, ...]
    bound: tuple[str, ...]
    attributes: tuple[str, ...]
    cells: tuple[str, ...]
    mentioned: frozenset[str]
    computes: bool


@functools.lru_cache(maxsize=4096)
def names_of(code: types.CodeType) -> Names:
    """The names in some code."""
    found: dict[str, dict[str, None]] = {}
    for step in dis.get_instructions(code):
        action, _, place = step.opname.rpartition("_")
        if place in ("GLOBAL", "ATTR", "DEREF") and action in ("LOAD", "STORE", "DELETE"):
            found.setdefault(f"{action == 'LOAD'} {place}", {})[step.argval] = None
    texts = [text for text in code.co_consts if isinstance(text, str) and text.isidentifier()]
    bound = tuple(found.get("False GLOBAL", ()))
    read = (name for name in found.get("True GLOBAL", ()) if not hasattr(builtins, name))
    computes = not COMPUTES.isdisjoint(code.co_names)
    if computes:
        read = (*read, *texts)  # type: ignore[assignment]
    return Names(
        tuple(dict.fromkeys((*read, *bound))),
        bound,
        tuple(found.get("False ATTR", ())),
        tuple(found.get("False DEREF", ())),
        frozenset((*code.co_names, *texts)),
        computes,
    )


@functools.lru_cache(maxsize=4096)
def codes(code: types.CodeType) -> tuple[types.CodeType, ...]:
    """Code with that of the functions inside of it."""
    inside = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return (code, *(found for part in inside for found in codes(part)))
