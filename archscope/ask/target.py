"""The network behind a saved record, for questions that its numbers cannot answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.records import BatchSweep, Dim, SignalPropagation
from archscope.resolve.inputs import input_text
from archscope.saved.record import Saved, saved

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject


@dataclass(frozen=True)
class Question:
    """A network by name, and what it is called with; `None` stands for its default.

    Args:
        found: the network itself with these keywords, where it had to be built to ask.
    """

    model: str
    keywords: dict[str, Any]
    input: str | None
    batch: Dim | None
    found: Subject | None = None


def recalled(
    model: str | Saved,
    keywords: Mapping[str, Any],
    input: str | None = None,
    batch: Dim | None = None,
) -> Question:
    """Name the network that a file was made of, with its keywords and input; names stay as given.

    Args:
        model: a name, or a saved record or its path.
        keywords: given by the user; they win over those of the record.
        input: given by the user; otherwise the record's.
        batch: given by the user; otherwise the record's, unless it holds several.

    Raises:
        ArchscopeError: the file holds no record of one network, or of one that has no name.
    """
    source = saved(model)
    if source is None:
        return Question(str(model), dict(keywords), input, batch)
    from archscope.ask.network.subject import find
    from archscope.resolve import parse_settings

    record = source.record
    if isinstance(record, SignalPropagation):
        raise ArchscopeError(source.name, "is not of one network", "name the network itself")
    several = isinstance(record, BatchSweep)
    if isinstance(record, BatchSweep):
        record = record.profiles[0]
    kept = parse_settings([f"{key}={value}" for key, value in record.keywords])
    try:
        found = find(record.model, kept)
    except ArchscopeError as error:
        problem = f"is of {record.model}, which cannot be built from its name ({error})"
        raise ArchscopeError(source.name, problem, "name the network itself") from error
    if input is None and record.input != found.default_input:
        input = input_text(record.input)
        batch = record.input.batch if batch is None and not several else batch
    subject = None if keywords else found
    return Question(record.model, {**kept, **keywords}, input, batch, subject)
