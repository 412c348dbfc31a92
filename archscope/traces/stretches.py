"""A step as one thing after the other: kernels, and the idle time before each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from archscope.traces.events import Call
from archscope.traces.join import Credit


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some nanoseconds of a step in which the device was at one thing.

    Args:
        credit: the kernel; where several overlap, the one that began first.
        is_idle: whether the device had nothing to do, and `credit` is what it waited for; `None`
            at the end of a step.
    """

    nanoseconds: int
    credit: Credit | None
    is_idle: bool


def by_step(
    credits: Sequence[Credit], windows: Mapping[int, tuple[int, int]]
) -> dict[int, list[Stretch]]:
    """The stretches of every step, which add up to it.

    Args:
        credits: of kernels.
        windows: when the device begins and ends each step, see `steps.windows`.
    """
    found: dict[int, list[Credit]] = defaultdict(list)
    for credit in sorted(credits, key=lambda credit: credit.start):
        found[credit.step].append(credit)
    return {step: [*_stretches(found[step], *window)] for step, window in windows.items()}


def _stretches(credits: Sequence[Credit], begin: int, end: int) -> Iterator[Stretch]:
    at = begin
    for credit in credits:
        if min(credit.start, end) > at:
            yield Stretch(min(credit.start, end) - at, credit, is_idle=True)
            at = min(credit.start, end)
        finish = min(credit.start + credit.nanoseconds, end)
        if finish > at:
            yield Stretch(finish - at, credit, is_idle=False)
            at = finish
    if end > at:
        yield Stretch(end - at, None, is_idle=True)


def waits(stretches: Sequence[Stretch]) -> dict[Call | None, int]:
    """Nanoseconds that the device waited for the kernels of each call."""
    found: dict[Call | None, int] = defaultdict(int)
    for stretch in stretches:
        if stretch.is_idle and stretch.credit is not None:
            found[stretch.credit.call] += stretch.nanoseconds
    return dict(found)
