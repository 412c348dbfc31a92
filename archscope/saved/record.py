"""A saved record in the place of its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archscope import archive
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis, BatchSweep, Dim, Profile


@dataclass(frozen=True)
class Saved:
    """A record, under the name that a message calls it by.

    Args:
        name: the path of its file; the network's for a record that was never in one.
        record: of any kind.
    """

    name: str
    record: archive.Record

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The Profiles that it holds, by rising batch; empty for a record of another kind."""
        if isinstance(self.record, BatchSweep):
            return self.record.profiles
        return (self.record,) if isinstance(self.record, Profile) else ()

    def chosen(self, batches: Sequence[int] | None) -> tuple[Profile, ...]:
        """The Profiles of these batches, all when `None`.

        Raises:
            ArchscopeError: naming the batches there are, where one is missing.
        """
        if batches is None:
            return self.profiles
        held = BatchSweep(self.profiles)
        return tuple(at_batch(held, batch, self.name) for batch in sorted(set(batches)))

    def at(self, batch: Dim | None) -> Analysis | Profile:
        """The record of one network, of several batches that of the one asked for.

        Raises:
            ArchscopeError: it is of another kind, or has several batches and none is chosen.
        """
        if isinstance(self.record, BatchSweep):
            return at_batch(self.record, batch, self.name)
        if isinstance(self.record, (Analysis, Profile)):
            return self.record
        raise ArchscopeError(self.name, "holds no count", "name the network itself")

    def of_batch(self, batch: Dim | None) -> Saved:
        """The record of one network, of several batches that of the one asked for.

        Raises:
            ArchscopeError: as `at`.
        """
        return Saved(self.name, self.at(batch))

    def count(self, batch: Dim | None = None, backward: bool = False) -> Analysis:
        """What it counted.

        Args:
            batch: which one of a record of several.
            backward: the count must have a backward pass.

        Raises:
            ArchscopeError: as `at`, or it holds no count of this kind.
        """
        record = self.at(batch)
        analysis = record.analysis if isinstance(record, Profile) else record
        if analysis is None:
            is_traced = isinstance(record, Profile) and record.environment.fact("trace")
            again = f"trace it again with {parameter('model')}" if is_traced else "profile it again"
            raise ArchscopeError(self.name, "this profile holds no count", again)
        if backward and not analysis.backward_traced:
            raise ArchscopeError(
                self.name,
                "was saved without a backward pass",
                f"save it again with {parameter('backward', True)}",
            )
        return analysis


def saved(model: object) -> Saved | None:
    """The record that a path to a JSON file stands for, read once; `None` for all else.

    Args:
        model: what the user named; what was read before is handed back.

    Raises:
        ArchscopeError: the file cannot be read, or holds no record.
    """
    if isinstance(model, Saved):
        return model
    if isinstance(model, (Analysis, Profile)):
        return Saved(model.model, model)
    if isinstance(model, (str, Path)) and is_record(str(model)):
        return Saved(str(model), archive.load(model))
    return None


def is_record(name: str) -> bool:
    """Whether a name is the path of a saved record; `hf:config.json` is that of a network."""
    return name.endswith(".json") and not name.startswith(("hf:", "diffusers:"))


def at_batch(sweep: BatchSweep, batch: Dim | None, path: str) -> Profile:
    """The Profile of this batch.

    Raises:
        ArchscopeError: naming the batches there are, where none is asked for or it is missing.
    """
    held = {profile.input.batch: profile for profile in sweep.profiles}
    if batch in held:
        return held[batch]
    batches, first = ", ".join(map(str, held)), parameter("batch", next(iter(held)))
    if batch is None:
        raise ArchscopeError(path, f"holds batches {batches}", f"choose one with {first}")
    raise ArchscopeError(
        path,
        f"holds batches {batches}, not {batch}",
        f"choose one of these, such as {first}",
    )
