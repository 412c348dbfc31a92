"""Why another tool's figure differs from archscope's: conventions, each checked exactly.

A convention says what a tool adds to (or leaves out of) a layer.
It is a reason only where the amounts of the fewest conventions sum exactly to the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any

from archscope.records import Layer, Shape

Argument = int | float | bool | str | tuple[Any, ...] | None


@dataclass(frozen=True)
class Operator:
    """One operator that ran.

    Args:
        name: PyTorch's, such as `upsample_bilinear2d`.
        arguments: in the order of its schema; a tensor is given by its shape.
        outputs: shapes of the tensors that it returns.
    """

    name: str
    arguments: tuple[Argument, ...]
    outputs: tuple[Shape, ...]


def _nothing(layer: Layer) -> int:
    return 0


def _free(operator: Operator) -> int:
    return 0


@dataclass(frozen=True)
class Part:
    """What a tool's figure and archscope's are both about.

    Args:
        layers: all calls of one module, or of all modules where a tool tells only a total.
        operators: that ran in them.
        separate: amounts that the tool itself tells apart, by what they are for.
    """

    layers: Sequence[Layer]
    operators: Sequence[Operator] = ()
    separate: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Convention:
    """What a tool does that archscope does not.

    Args:
        sentence: completes "it …".
        amount: what it adds to the multiply-accumulates of one layer; negative for an omission.
        operator: what it adds for one operator.
        separate: the name of an amount that the tool itself tells apart.
        rounding: how far the tool's figure of one layer may be off where it rounds.
    """

    sentence: str
    amount: Callable[[Layer], int] = _nothing
    operator: Callable[[Operator], int] = _free
    separate: str = ""
    rounding: Callable[[Layer], int] = _nothing

    def of(self, part: Part) -> int:
        """The amount over all that the part holds."""
        return (
            sum(map(self.amount, part.layers))
            + sum(map(self.operator, part.operators))
            + part.separate.get(self.separate, 0)
        )


@dataclass(frozen=True)
class Reason:
    """A convention with what it amounts to here."""

    sentence: str
    amount: int


def explained(
    difference: int, part: Part, conventions: Sequence[Convention]
) -> tuple[Reason, ...] | None:
    """The fewest conventions whose amounts sum to a difference, `None` where none do.

    Args:
        difference: the tool's figure minus archscope's, over this part.
        part: what the two figures are about.
        conventions: of the tool.
    """
    found = [
        Reason(convention.sentence, amount)
        for convention in conventions
        if (amount := convention.of(part))
    ]
    for chosen in _choices(found):
        if sum(reason.amount for reason in chosen) == difference:
            return chosen
    for convention in conventions:
        slack = sum(map(convention.rounding, part.layers))
        for chosen in _choices(found) if slack else ():
            rest = difference - sum(reason.amount for reason in chosen)
            if abs(rest) <= slack:
                return (*chosen, Reason(convention.sentence, rest))
    return None


def _choices(reasons: Sequence[Reason]) -> Iterator[tuple[Reason, ...]]:
    """Every choice of some reasons, the smallest first, each made when it is asked for."""
    sizes = range(len(reasons) + 1)
    return chain.from_iterable(combinations(reasons, size) for size in sizes)
