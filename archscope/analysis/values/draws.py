"""Random numbers that a run on meta draws, and whose seed decides them.

A few numbers are drawn at once, as PyTorch draws them on the CPU, so that a network which sets a
seed finds the values that it expects. Many are drawn only if somebody asks for them; what their
generator draws after them is then not what it would have been.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import torch

from archscope.analysis import dispatch
from archscope.analysis.values.needed import ValueNeeded

FEW = 2**12
"""Numbers that are drawn at once."""

SEED = 0
"""Of a run, unless its network sets another."""


class Chance(IntEnum):
    """What random draws have to do with a value."""

    NONE = 0
    """It is the same in every run."""
    SEED = 1
    """It depends on the seed of the run."""
    LOST = 2
    """It follows from a seed of the network's own, by draws that were not made."""


class Draws:
    """What a run draws from its generators."""

    def __init__(self) -> None:
        self._skipped: set[tuple[Any, int]] = set()

    def now(self, generator: torch.Generator | None) -> Chance:
        """What a value depends on that is drawn from a generator now.

        Args:
            generator: that of the process when `None`.
        """
        source = generator or torch.default_generator
        if source.device.type != "cpu" or self._is_of_the_run(source):
            return Chance.SEED
        return Chance.LOST if self._key(source) in self._skipped else Chance.NONE

    def later(self, generator: torch.Generator | None) -> tuple[int, Chance]:
        """A seed for numbers that are drawn on demand, and what they depend on."""
        source = generator or torch.default_generator
        if source.device.type != "cpu":
            return SEED, Chance.SEED
        self._skipped.add(self._key(source))
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=source))
        return seed, Chance.SEED if self._is_of_the_run(source) else Chance.LOST

    @staticmethod
    def _is_of_the_run(source: torch.Generator) -> bool:
        return source is torch.default_generator and source.initial_seed() == SEED

    @staticmethod
    def _key(source: torch.Generator) -> tuple[Any, int]:
        return source, source.initial_seed()


def require(chance: Chance) -> None:
    """Note that a value decides something which depends on a random draw.

    Raises:
        ValueNeeded: a run on the CPU would find another value.
    """
    if chance is Chance.LOST:
        raise ValueNeeded
    if chance is Chance.SEED:
        say_that_they_may_decide("PyTorch")


def say_that_they_may_decide(source: str) -> None:
    """Tell the reader of a count that it depends on the seed.

    Args:
        source: what draws the numbers.
    """
    place = dispatch.run.place() if dispatch.run.place is not None else ""
    where = f" in {place}" if place else ""
    dispatch.say(
        f"Numbers drawn at random ({source}{where}) may decide what runs: counted for seed {SEED}; "
        f"other draws may cost something else."
    )
