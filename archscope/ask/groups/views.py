"""What a sweep over group counts finds: at equal width, at equal MACs, at equal parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from archscope.ask.groups.family import GROUPS
from archscope.ask.groups.members import Member
from archscope.errors import ArchscopeError
from archscope.records import Analysis, Layer

Equal = Literal["none", "macs", "params"]

EQUALS: tuple[Equal, ...] = get_args(Equal)

Point = tuple[Equal, int]
"""A view and a group count."""


@dataclass(frozen=True)
class Uncounted:
    """A group count without a network.

    Args:
        width: value of the width keyword, `None` where already that cannot be had.
        error: why there is none.
    """

    groups: int
    width: int | None
    error: ArchscopeError


@dataclass(frozen=True)
class GroupSweep:
    """Networks that differ in their group count, in up to three views.

    Args:
        base: the network that ratios compare with.
        single: the base's width in one group.
        by: the width keyword.
        views: the members by what is held equal; ascending group counts.
    """

    base: Member
    single: Member
    by: str
    views: Mapping[Equal, tuple[Member | Uncounted, ...]]

    def counted(self, view: Equal) -> list[Member]:
        """The members of a view, without those that could not be counted."""
        return [member for member in self.views.get(view, ()) if isinstance(member, Member)]

    @cached_property
    def grouped(self) -> frozenset[str]:
        """Names of the convolutions whose group count the sweep sets."""
        known = _group_counts(self.base.analysis)
        return frozenset(
            name
            for view in self.views
            for member in (*self.counted(view), self.single)
            if member.groups != self.base.groups
            for name, groups in _group_counts(member.analysis).items()
            if groups == member.groups and known.get(name) == self.base.groups
        )

    def grouped_layers(self, analysis: Analysis) -> list[Layer]:
        """The layers of a member whose group count the sweep sets."""
        return [layer for layer in analysis.layers if layer.name in self.grouped]


def _group_counts(analysis: Analysis) -> dict[str, int]:
    return {
        layer.name: layer.setting(GROUPS)
        for layer in analysis.layers
        if layer.setting(GROUPS) is not None
    }


def parse_groups(text: str) -> tuple[int, ...]:
    """Read `1,2,4,8,32`; the counts come back in ascending order, each once.

    Raises:
        ArchscopeError: a count that is no whole number from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isdecimal() and part.isascii() and int(part) > 0):
            named = f"{part!r} is not a group count" if part else "a group count is missing"
            raise ArchscopeError(text, named, "give whole numbers from 1, such as 1,2,4,8,32")
    return tuple(sorted({int(part) for part in parts}))
