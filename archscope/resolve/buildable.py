"""What a file may have built: a record or a budget is data, and never chooses code to run.

Names of archscope's zoo, of torchvision and of timm lead to networks that these libraries define.
Every other name leads to code, which only a user may choose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.resolve import timm_models, vision
from archscope.resolve.signatures import did_you_mean

BESIDE = f"name the network as well as the file: {parameter('model', 'nets.py:Net')}"

MOST = 2**31
"""Above every size that a constructor of these libraries can use."""

MOST_VALUES = 4096
"""Above every list that a constructor of these libraries takes."""

_TIMM_NAME = re.compile(r"timm:([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)?)\Z")
_WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}\Z")
_WEIGHTS = ("weights", "pretrained", "checkpoint", "cache_dir")


def require_buildable(file: str, model: str, keywords: Mapping[str, object]) -> None:
    """Refuse what a file names, unless a library's network with plain values.

    Args:
        file: the record or budget, for the message.
        model: the name in it.
        keywords: the constructor keywords in it.

    Raises:
        ArchscopeError: the name is that of code, or a value is none that a file may give.
    """
    if not _is_of_a_library(model):
        if model.isidentifier() and (nearest := _nearest(model)):  # a slip, not a name of code
            raise ArchscopeError(f"{file}: {model:.80}", "unknown network", nearest)
        raise ArchscopeError(
            file,
            f"names {model!r:.80} as its network; archscope runs no code that only a file names",
            BESIDE,
        )  # fmt: skip
    for key, value in keywords.items():
        if key.startswith(_WEIGHTS) and value:
            raise ArchscopeError(
                file, f"its keyword {key!r:.60} asks for weights", "remove it, or " + BESIDE
            )
    require_plain(file, keywords)
    for key, value in keywords.items():
        if not _all_words(value):
            problem = f"its keyword {key!r:.60} is {value!r:.60}, which is not a plain word"
            raise ArchscopeError(file, problem, "remove it, or " + BESIDE)


def require_plain(file: str, keywords: Mapping[str, object]) -> None:
    """Refuse keywords that are not numbers, text, `None`, or lists and tables of these.

    Raises:
        ArchscopeError: naming the keyword.
    """
    for key, value in keywords.items():
        if not _plain(value):
            problem = f"its keyword {key!r:.60} is {value!r:.60}, which is not a plain value"
            raise ArchscopeError(file, problem, "take it out")


def _is_of_a_library(name: str) -> bool:
    from archscope import zoo

    if name in zoo.names():
        return True
    timm = _TIMM_NAME.match(name)
    if timm is not None:
        return timm_models.has(timm[1])
    own = name.removeprefix(vision.PREFIX)
    return own.isidentifier() and own in vision.names()


def _nearest(model: str) -> str:
    from archscope import zoo

    return did_you_mean(model, [*zoo.names(), *vision.names()])


def _plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= MOST_VALUES and all(map(_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if type(value) is int:
        return abs(value) <= MOST
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, str)


def _all_words(value: object) -> bool:
    """Whether no text in it can be a path, an address or a name with a place in it."""
    if isinstance(value, (list, tuple)):
        return all(map(_all_words, value))
    if isinstance(value, Mapping):
        return all(map(_all_words, [*value, *value.values()]))
    return not isinstance(value, str) or bool(_WORD.match(value))
