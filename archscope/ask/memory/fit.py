"""The largest batch whose step stays within a budget."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from archscope.ask.memory.prediction import predicted
from archscope.ask.memory.setting import TRAINING, Setting
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import MemoryPrediction
from archscope.units import binary_bytes

if TYPE_CHECKING:
    from archscope.ask.target import Target


LARGEST_BATCH = 2**24
"""The search for a batch that fits stops here: the memory does not depend on the batch."""


def largest_batch(
    target: Target,
    budget_bytes: int,
    setting: Setting = TRAINING,
) -> MemoryPrediction:
    """Predict the step with the largest batch whose peak stays within a budget.

    The peak is predicted for every batch that is tried, the answer and its successor included.

    Args:
        target: the network with its call, whose batch is what varies.
        budget_bytes: what the tensors may take.
        setting: of the step.

    Raises:
        ArchscopeError: not even the smallest batch fits, or the memory does not grow.
    """
    from archscope.ask.network.call import network_call

    subject, _ = target.called()
    seen: dict[int, MemoryPrediction] = {}

    def peak(batch: int) -> int:
        if batch not in seen:
            call = network_call(subject, target.input, batch)
            seen[batch] = predicted(subject, call, setting)
        return seen[batch].peak_bytes

    first = _smallest(peak)
    if peak(first) > budget_bytes:
        raise ArchscopeError(
            parameter("fit", binary_bytes(budget_bytes)),
            f"batch {first} of {subject.name} needs {binary_bytes(peak(first))}",
            f"give more, or a smaller {parameter('input')} or {parameter('dtype')}",
        )
    return seen[_search(peak, first, budget_bytes)]


def _smallest(peak: Callable[[int], int]) -> int:
    """1, or 2 where one sample is too few: batch normalisation trains on no single value."""
    try:
        peak(1)
    except ArchscopeError:
        with suppress(ArchscopeError):
            peak(2)
            return 2
        raise
    return 1


def _search(peak: Callable[[int], int], fits: int, budget: int) -> int:
    """The largest batch within the budget, by straight lines through the last two points tried.

    Memory is nearly affine in the batch, so few steps are needed; each halves the doubt at worst.
    """
    exceeds: int | None = None
    slope = peak(fits + 1) - peak(fits)
    while exceeds is None or exceeds - fits > 1:
        guess = fits + max(1, (budget - peak(fits)) // max(1, slope))
        if exceeds is not None:
            guess = min(guess, exceeds - 1)
        if guess > LARGEST_BATCH:
            raise ArchscopeError(
                parameter("fit"), "the memory does not grow with the batch", "leave it out"
            )
        if peak(guess) <= budget:
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits))
            fits = guess
            if exceeds is None and peak(fits + 1) > budget:
                return fits
        else:
            exceeds = guess
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits) + 1)
    return fits
