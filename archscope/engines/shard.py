"""One of several parts of a long run, each a job of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from archscope.errors import ArchscopeError
from archscope.parameters import parameter

Part = TypeVar("Part")


@dataclass(frozen=True)
class Shard:
    """The points whose position, counted from `number`, is a multiple of `count`.

    Neighbours in a run cost about the same, so that the shards do too.

    Args:
        number: from 1.
        count: of all shards.
    """

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def identity(self) -> dict[str, tuple[int, int]]:
        """For the first line of a journal; nothing where all points are in one."""
        return {} if self.count == 1 else {"shard": (self.number, self.count)}

    def of(self, points: Sequence[Part]) -> Sequence[Part]:
        """Its own of all points."""
        return points[self.number - 1 :: self.count]


ALL = Shard()


def parse_shard(text: str) -> Shard:
    """Read `3/8`.

    Raises:
        ArchscopeError: no two whole numbers, or none of the shards.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, count = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise ArchscopeError(
            parameter("shard", text), "unknown shard", "write 3/8 for the third of eight"
        )
    return Shard(number, count)
