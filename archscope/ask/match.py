"""Which whole number makes a network cost as much as another: width, depth or growth rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.quantities import MATCHED, PARAMS, Difference, Quantity

if TYPE_CHECKING:
    from archscope.ask.target import Target

WIDTHS = ("width_per_group", "width", "growth_rate", "embed_dim", "hidden_dim", "channels")
"""Constructor keywords that widen a network, the likeliest first."""

USUAL_WIDTH = 32
MOST = 2**16
PROBES = 64
"""How many neighbours of a value that no network can have are tried in its place."""


@dataclass(frozen=True)
class Solution:
    """The value whose total comes nearest to the target.

    Args:
        value: of the keyword; of several equally near, the smallest.
        total: what it makes of the network.
        target: what was asked for.
        tried: every (value, total) that was counted on the way, by rising value.
        refusal: why no other value could be counted, where only one could and it misses.
    """

    value: int
    total: int
    target: int
    tried: tuple[tuple[int, int], ...]
    refusal: str = ""

    @property
    def difference(self) -> Difference:
        """The total beside the target."""
        return Difference(self.total, self.target)


@dataclass(frozen=True)
class Solved:
    """What was solved for, so that networks cost the same.

    Args:
        reference: title of the network whose total was the target.
        quantity: what was made equal.
        solutions: of each other network its name, the keyword, and what was found.
    """

    reference: str
    quantity: Quantity
    solutions: tuple[tuple[str, str, Solution], ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What a table shows of it, for the first line of a journal."""
        rows = [
            [model, keyword, found.value, found.total, found.target, found.refusal]
            for model, keyword, found in self.solutions
        ]
        return {"reference": self.reference, "of": self.quantity.option, "solutions": rows}

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> Solved:
        """Read it back.

        Raises:
            KeyError, TypeError, ValueError: it is of something else.
        """
        solutions = tuple(
            (str(model), str(keyword), Solution(int(value), int(total), int(target), (), str(why)))
            for model, keyword, value, total, target, why in identity["solutions"]
        )
        return cls(str(identity["reference"]), MATCHED[identity["of"]], solutions)


def solve(
    target: int,
    measure: Callable[[int], int],
    *,
    start: int = USUAL_WIDTH,
    least: int = 1,
    most: int = MOST,
) -> Solution:
    """Find the whole number from `least` to `most` whose total is nearest to the target.

    The total may rise or fall with the value, in steps too; where it does neither throughout, the
    answer is the nearest of those beside one crossing of the target.
    The way there follows the power law through two totals, so that a width is found in about six
    counts.

    Args:
        target: total to reach.
        measure: total of a value; raises ArchscopeError for a value that no network can have
            (one that a head count does not divide), which is then left out.
        start: first value tried.
        least: smallest value that may be tried.
        most: largest value that may be tried.

    Raises:
        ArchscopeError: what `measure` raised, where no value near `start` can be had.
    """
    search = _Search(target, measure, least, most)
    search.try_near(min(max(start, least), most), least - 1, most + 1)
    if not search.totals:
        raise search.failure or ArchscopeError(str(start), "no value there can be counted")
    while search.nearest() != target and search.step():
        pass
    value = min(search.totals, key=lambda v: (abs(search.totals[v] - target), v))
    alone = len(search.totals) == 1 and search.totals[value] != target and search.failure
    return Solution(
        value,
        search.totals[value],
        target,
        tuple(sorted(search.totals.items())),
        search.failure.problem if alone and search.failure else "",
    )


class _Search:
    """The values tried so far, and where to look next."""

    def __init__(self, target: int, measure: Callable[[int], int], least: int, most: int) -> None:
        self.target = target
        self.measure = measure
        self.least = least
        self.most = most
        self.totals: dict[int, int] = {}
        self.refused: set[int] = set()
        self.failure: ArchscopeError | None = None
        self.steps = 0

    def nearest(self) -> int:
        return min(self.totals.values(), key=lambda total: abs(total - self.target))

    def try_near(self, value: int, above: int, below: int) -> bool:
        """Count the value nearest to this one strictly between two others, if there is any."""
        offsets = sorted(range(-PROBES, PROBES + 1), key=abs)
        for candidate in (value + offset for offset in offsets):
            if not above < candidate < below or candidate in self.refused | self.totals.keys():
                continue
            try:
                self.totals[candidate] = self.measure(candidate)
                return True
            except ArchscopeError as error:
                self.failure = self.failure or error
                self.refused.add(candidate)
        return False

    def step(self) -> bool:
        """Count one more value; False where none can come nearer."""
        self.steps += 1
        values = sorted(self.totals)
        for low, high in pairwise(values):
            if (self.totals[low] < self.target) != (self.totals[high] < self.target):
                return self._between(low, high)
        return self._outside(values)

    def _between(self, low: int, high: int) -> bool:
        guess = self._power_law(low, high)
        if guess is None or self.steps % 3 == 0:  # halving bounds the number of steps
            guess = (low + high) // 2
        return self.try_near(min(max(guess, low + 1), high - 1), low, high)

    def _outside(self, values: Sequence[int]) -> bool:
        """Go on beyond the end on which the target is; beyond either while all are equal."""
        first, last = self.totals[values[0]], self.totals[values[-1]]
        upwards = (first < self.target) == (first <= last)
        if upwards:
            return self._above(values) or (first == last and self._below(values))
        return self._below(values) or (first == last and self._above(values))

    def _above(self, values: Sequence[int]) -> bool:
        last = values[-1]
        guess = self._power_law(values[-2:][0], last) or 2 * last
        guess = min(max(guess, last + 1), max(8 * last, last + 8), self.most)
        return self.try_near(guess, last, self.most + 1)

    def _below(self, values: Sequence[int]) -> bool:
        first = values[0]
        guess = self._power_law(first, values[:2][-1]) or first // 2
        guess = max(min(guess, first - 1), first // 8, self.least)
        return self.try_near(guess, self.least - 1, first)

    def _power_law(self, low: int, high: int) -> int | None:
        """Where c·vᵖ through two counted values meets the target; p = 1.5 through one."""
        if min(self.totals[low], self.totals[high], self.target, low) <= 0:
            return None
        power = 1.5
        if low != high:
            rise = math.log(self.totals[high] / self.totals[low])
            power = rise / math.log(high / low)
        if power == 0:
            return None
        exponent = math.log(self.target / self.totals[low]) / power
        return round(low * math.exp(min(max(exponent, -20.0), 20.0)))


def meter(target: Target, keyword: str, quantity: Quantity) -> Callable[[int], int]:
    """The total of a network as a function of one constructor keyword; each value counts once.

    Parameters of a named network are added up without running it.

    Args:
        target: the network with its call.
        keyword: the constructor keyword that gets the value.
        quantity: what is added up.
    """

    @cache
    def total(value: int) -> int:
        from archscope.ask.count import analyse

        given = target.having(**{keyword: value})
        if quantity is PARAMS and isinstance(given.model, str):
            return sum(parameter.numel() for parameter in given.subject().module.parameters())
        return round(quantity.total(analyse(given).total))

    return total


def width_keyword(target: Target) -> str:
    """The constructor keyword that widens a network.

    Raises:
        ArchscopeError: it has none that is known, or is no name.
    """
    found = next((keyword for keyword in WIDTHS if _takes(target, keyword)), None)
    if found is None:
        raise ArchscopeError(
            parameter("match"),
            f"{target.name} has no known width keyword",
            f"name one that it takes with {parameter('by')}",
        )
    return found


def _takes(target: Target, keyword: str) -> bool:
    """Whether a constructor has this keyword; a value that it cannot have is no matter here."""
    try:
        replace(target, keywords={keyword: USUAL_WIDTH}, found=None).subject()
    except ArchscopeError as error:
        return error.argument != keyword
    return True
