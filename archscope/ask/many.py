"""Many networks, each counted alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.ask.contenders import Contender, distinct
from archscope.ask.count import analyse
from archscope.ask.target import side_by_side
from archscope.errors import ArchscopeError
from archscope.wording import network_title

if TYPE_CHECKING:
    from archscope.records import Dim


@dataclass(frozen=True)
class Counted:
    """Networks that could be counted, and why others could not.

    Args:
        networks: in the order of their names.
        problems: one sentence for each of the others.
    """

    networks: tuple[Contender, ...]
    problems: tuple[str, ...]


def counted_each(
    names: Sequence[str],
    *,
    input: str | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
    backward: bool = False,
    train: bool = False,
) -> Counted:
    """Count networks one by one; what fails is left out, and says why.

    Args:
        names: of networks, or paths of saved records.
        input: for all that are counted now.
        batch: for all that are counted now.
        keywords: for all that are counted now.
        backward: also count the backward pass.
        train: run in training mode.

    Raises:
        ArchscopeError: none can be counted.
    """
    found, problems = [], []
    for name in names:
        try:
            (one,) = side_by_side([name], input=input, batch=batch, keywords=keywords)
            found.append(analyse(one, backward=backward, train=train))
        except ArchscopeError as error:  # noqa: PERF203 - nothing beside a count
            if len(names) == 1:
                raise
            problems.append(f"Left out: {error}.")
    if not found:
        raise ArchscopeError(", ".join(names)[:80], "no network can be counted", problems[0])
    labels = distinct([network_title(each.model, each.keywords) for each in found])
    networks = tuple(Contender(label, one) for label, one in zip(labels, found, strict=True))
    return Counted(networks, tuple(problems))
