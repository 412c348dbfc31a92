"""One memo for a graph of objects: what is one object in the original is one object in the copy.

Objects are made empty first and filled afterwards, so neither a cycle nor depth matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import torch

from archscope.errors import ArchscopeError

StandIn = Callable[[torch.Tensor], torch.Tensor]
Copier = Callable[["Replica", Any], Any]
Filler = Callable[["Replica", Any, Any], None]

IMMUTABLE: set[type] = {
    type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range,
    torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size,
}  # fmt: skip
"""Kinds of values that nothing changes, asked before anything else."""


class Replica:
    """Copies what it is given; keep it as long as the copy, whose weak references it keeps alive.

    Args:
        owner: what error messages name.
        stand_in: makes the tensor that is used in place of one.
        copier_of: how objects of a kind are copied.
    """

    def __init__(self, owner: str, stand_in: StandIn, copier_of: Callable[[type], Copier]) -> None:
        self.owner = owner
        self.stand_in = stand_in
        self.storages: dict[int, torch.Tensor] = {}
        self.arrays: list[tuple[Any, Any]] = []
        self._copier_of = copier_of
        self._copiers: dict[type, Copier] = {}
        self._twins: dict[int, Any] = {}
        self._originals: list[Any] = []  # alive, so that none of their numbers is used twice
        self._unfilled: list[tuple[Filler, Any, Any]] = []

    def of(self, value: Any) -> Any:
        """The copy of a value with all that it holds.

        Raises:
            ArchscopeError: an object that only C code knows cannot be copied.
        """
        twin = self.twin(value)
        self._fill_all()
        return twin

    def stand_ins(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each tensor that was copied, with what is used in place of it."""
        for original in self._originals:
            if isinstance(original, torch.Tensor):
                yield original, self._twins[id(original)]

    def code(self) -> list[Any]:
        """The classes and functions of what was copied."""
        functions = [one for one in self._originals if isinstance(one, FunctionType)]
        return [*self._copiers, *functions]

    def _fill_all(self) -> None:
        while self._unfilled:
            fill, twin, original = self._unfilled.pop()
            fill(self, twin, original)

    def twin(self, value: Any) -> Any:
        """The copy of a value, whose contents may follow later."""
        kind = type(value)
        if kind in IMMUTABLE:
            return value
        twin = self._twins.get(id(value), self)
        if twin is not self:
            return twin
        copier = self._copiers.get(kind)
        if copier is None:
            copier = self._copiers[kind] = self._copier_of(kind)
        return copier(self, value)

    def twins(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The copies of several values; the same tuple where none of them is copied."""
        copied = tuple(map(self.twin, values))
        same = all(twin is value for twin, value in zip(copied, values, strict=True))
        return values if same else copied

    def add(self, original: Any, twin: Any, fill: Filler | None = None) -> Any:
        """Remember the copy of an object, and how it is to be filled."""
        self._twins[id(original)] = twin
        self._originals.append(original)
        if fill is not None:
            self._unfilled.append((fill, twin, original))
        return twin

    def ready(self, value: Any) -> Any:
        """The copy of a value that is hashed or rebuilt at once, and so has to be complete."""
        kind = type(value)
        if kind in IMMUTABLE:
            return value
        twin = self.twin(value)
        hashed_by_content: Any = kind.__hash__
        if hashed_by_content is not object.__hash__:
            self._fill_all()
        return twin

    def refusal(self, value: Any, reason: str = "") -> ArchscopeError:
        """What is said of an object that cannot be copied."""
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        return ArchscopeError(
            self.owner,
            f"holds a {name}, which cannot be copied{reason and f' ({reason})'}",
            "remove it for the count, which leaves the network and its arguments untouched by "
            "running a copy",
        )
