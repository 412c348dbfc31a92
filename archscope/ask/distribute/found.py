"""What one step under a plan gave, and what it is run with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from archscope.records import ClosedForm, Collective

if TYPE_CHECKING:
    from archscope.collectives.styles import Style


class Found(NamedTuple):
    """What one run gave.

    Args:
        issued: the collectives.
        closed_forms: totals beside their formulas.
        notes: sentences for the reader.
        styles: how layers are divided, by name.
    """

    issued: tuple[Collective, ...]
    closed_forms: tuple[ClosedForm, ...]
    notes: tuple[str, ...] = ()
    styles: Mapping[str, Style] = MappingProxyType({})


Lend = Callable[[Callable[..., Found]], Found]
"""Calls a run with a copy of the network, the arguments of its call and a loss."""
