"""Many networks, each counted alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope.ask.contenders import Contender, distinct
from archscope.ask.count import analyse
from archscope.ask.target import side_by_side
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.resolve.names import expanded
from archscope.wording import network_title

if TYPE_CHECKING:
    from archscope.ask.target import Input, Model
    from archscope.records import Dim


@dataclass(frozen=True)
class Counted:
    """Networks that could be counted, and why others could not.

    Args:
        networks: in the order of their names.
        problems: what is wrong with each of the others.
    """

    networks: tuple[Contender, ...]
    problems: tuple[str, ...]


def counted_each(
    models: Sequence[Model],
    *,
    input: Input | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
    backward: bool = False,
    train: bool = False,
) -> Counted:
    """Count networks one by one; what fails is left out, and says why.

    Args:
        models: each as for `target`, or a pattern of names, `"resnet*"`.
        input: for all that are counted now.
        batch: for all that are counted now.
        keywords: for all that are counted now.
        backward: also count the backward pass.
        train: run in training mode.

    Raises:
        ArchscopeError: no network is given, none can be counted, no name matches a pattern, or
            nothing has a name that is given itself.
    """
    if not models:
        raise ArchscopeError(parameter("model"), "is an empty list", "name a network")
    found, problems, named = [], [], expanded(models)
    for model in named:
        try:
            (one,) = side_by_side([model], input=input, batch=batch, keywords=keywords)
            found.append(analyse(one, backward=backward, train=train))
        except ArchscopeError as error:  # noqa: PERF203 - nothing beside a count
            if len(named) == 1 or not _leads_somewhere(model):
                raise
            problems.append(error.worded(str))  # parameters marked
    if not found:
        raise ArchscopeError(
            ", ".join(map(str, named))[:80], "no network can be counted", problems[0]
        )
    labels = distinct([network_title(each.model, each.keywords) for each in found])
    networks = tuple(Contender(label, one) for label, one in zip(labels, found, strict=True))
    return Counted(networks, tuple(problems))


def _leads_somewhere(model: object) -> bool:
    """Whether a network that failed exists; a slip in its name is no network to leave out."""
    from archscope.resolve.sources import recipe

    if not isinstance(model, str) or Path(model).is_file():
        return True
    try:
        recipe(model, {})
    except ArchscopeError:
        return False
    return True
