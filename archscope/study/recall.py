"""A saved record in the place of its network, for questions that its numbers cannot answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from archscope import archive
from archscope.errors import ArchscopeError
from archscope.records import BatchSweep, Dim, MemoryPrediction, Profile, SignalPropagation
from archscope.resolve.inputs import input_text

Shown = TypeVar("Shown", MemoryPrediction, SignalPropagation)


def shown_again(kind: type[Shown], model: str) -> Shown | None:
    """The record behind a path, where it is of the kind that a command shows; `None` otherwise."""
    record = archive.load(model) if model.endswith(".json") else None
    return record if isinstance(record, kind) else None


def saved_profiles(model: str) -> tuple[Profile, ...]:
    """The Profiles behind a path, by rising batch; empty for anything else."""
    record = archive.load(model) if model.endswith(".json") else None
    if isinstance(record, BatchSweep):
        return record.profiles
    return (record,) if isinstance(record, Profile) else ()


def at_batch(sweep: BatchSweep, batch: Dim | None, path: str) -> Profile:
    """The Profile of this batch.

    Raises:
        ArchscopeError: naming the batches there are, where none is asked for or it is missing.
    """
    held = {profile.input.batch: profile for profile in sweep.profiles}
    if batch in held:
        return held[batch]
    batches = ", ".join(map(str, held))
    if batch is None:
        raise ArchscopeError(path, f"holds batches {batches}", "choose one with --batch")
    raise ArchscopeError(
        path,
        f"holds batches {batches}, not {batch}",
        f"choose one of these, or profile --batch {batch}",
    )


@dataclass(frozen=True)
class Question:
    """A network by name, and what it is called with; `None` stands for its default."""

    model: str
    keywords: dict[str, Any]
    input: str | None
    batch: Dim | None


def recalled(
    model: str, keywords: Mapping[str, Any], input: str | None = None, batch: Dim | None = None
) -> Question:
    """Name the network that a file was made of, with its keywords and input; names stay as given.

    Args:
        model: a name, or the path of a saved record.
        keywords: given by the user; they win over those of the record.
        input: given by the user; otherwise the record's.
        batch: given by the user; otherwise the record's, unless it holds several.

    Raises:
        ArchscopeError: the file holds no record of one network, or of one that has no name.
    """
    if not model.endswith(".json"):
        return Question(model, dict(keywords), input, batch)
    from archscope.resolve import parse_settings
    from archscope.study.analyse import find

    record = archive.load(model)
    if isinstance(record, SignalPropagation):
        raise ArchscopeError(model, "is not of one network", "name the network itself")
    several = isinstance(record, BatchSweep)
    if isinstance(record, BatchSweep):
        record = record.profiles[0]
    kept = parse_settings([f"{key}={value}" for key, value in record.keywords])
    try:
        default = find(record.model, kept).default_input
    except ArchscopeError as error:
        problem = f"is of {record.model}, which cannot be built from its name ({error})"
        raise ArchscopeError(model, problem, "name the network itself") from error
    if input is None and record.input != default:
        input = input_text(record.input)
        batch = record.input.batch if batch is None and not several else batch
    return Question(record.model, {**kept, **keywords}, input, batch)
