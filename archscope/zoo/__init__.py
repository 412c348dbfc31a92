"""The zoo: networks of the LeNet-to-DenseNet line that torchvision lacks, each as published.

One file per family.
A family file imports torch alone, so it can be pasted into another project; its table `ROWS` names
each variant, the constructor and the keywords that make it, and what its paper says of it.
`ROWS` is a literal: names and cards are read from the file's syntax tree, so that a listing does
not wait for torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

FAMILIES = (
    "lenet",
    "alexnet",
    "vgg",
    "nin",
    "googlenet",
    "resnet",
    "resnet_cifar",
    "resnet_preact",
    "resnext",
    "densenet",
    "d2l",
)


MAY_BE_ZERO = ("padding", "pool_padding", "bottleneck")
"""Whole-number keywords that leave a part out at 0; all others start from 1."""


@dataclass(frozen=True)
class Card:
    """What is known of one network without building it.

    Attributes:
        name: the name to build it by.
        family: the file of the zoo that defines it.
        constructor: the class in that file.
        keywords: the constructor keywords that this row presets.
        source: the paper, or the chapter of the course book.
        input: its default input without the batch, such as `1x28x28`.
        introduced: one sentence on what the network brought.
        params: trainable parameters, exact.
        macs: multiply-accumulates of convolutions and linear layers on the default input, exact.
        published: (quantity, value as printed, where it stands).
    """

    name: str
    family: str
    constructor: str
    keywords: dict[str, Any]
    source: str
    input: str
    introduced: str
    params: int
    macs: int
    published: tuple[tuple[str, int | float | str, str], ...]


@functools.cache
def _cards() -> dict[str, Card]:
    return {
        name: Card(name=name, family=family, **row)
        for family in FAMILIES
        for name, row in _rows(family).items()
    }


def _rows(family: str) -> dict[str, dict[str, Any]]:
    """The literal `ROWS` of a family file, without running the file."""
    source = Path(__file__).with_name(f"{family}.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "ROWS":
            assert statement.value is not None
            rows: dict[str, dict[str, Any]] = ast.literal_eval(statement.value)
            return rows
    raise AssertionError(f"{family}.py has no ROWS")


def names() -> tuple[str, ...]:
    """The name of every network in the zoo, family by family."""
    return tuple(_cards())


def card(name: str) -> Card:
    """The card of one network.

    Raises:
        ValueError: the zoo has no network of that name.
    """
    try:
        return _cards()[name]
    except KeyError:
        raise ValueError(f"{name}: not in the zoo; names() lists what is") from None


def build(name: str, **keywords: Any) -> nn.Module:
    """Build a network; `keywords` take precedence over those that its row presets.

    Raises:
        ValueError: an unknown name or keyword, or a value that the network cannot have.
    """
    entry = card(name)
    module = importlib.import_module(f"{__name__}.{entry.family}")
    constructor = getattr(module, entry.constructor)
    known = inspect.signature(constructor).parameters
    for keyword in keywords:
        if keyword not in known:
            taken = ", ".join(known)
            raise ValueError(f"{keyword}: {name} takes no such keyword; it takes {taken}")
        _check(known[keyword], keywords[keyword])
    network: nn.Module = constructor(**{**entry.keywords, **keywords})
    return network


def _check(parameter: inspect.Parameter, value: object) -> None:
    """Refuse a value whose type, or sign, no network can be built from.

    Raises:
        ValueError: `keyword=value: what is admissible`.
    """
    kind = parameter.annotation  # as text: the families postpone their annotations
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits, admissible = not number or kind.startswith("tuple"), "a name"
    if kind == "int":
        least = 0 if parameter.name in MAY_BE_ZERO else 1
        fits, admissible = False, "a whole number"
        if isinstance(value, int) and number:
            fits, admissible = value >= least, f"at least {least}"
    elif kind == "float":
        fits, admissible = number, "a number"
    elif kind == "bool":
        fits, admissible = isinstance(value, bool), "True or False"
    if not fits:
        raise ValueError(f"{parameter.name}={value}: must be {admissible}")
