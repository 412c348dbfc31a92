"""The networks of a sweep over group counts as lines of a journal, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from archscope import archive
from archscope.ask.groups.family import Family
from archscope.ask.groups.members import Member
from archscope.ask.groups.views import EQUALS, Equal, Point, Uncounted
from archscope.ask.profile import points
from archscope.ask.travel import decided_by, luggage
from archscope.engines.shard import Shard
from archscope.errors import ArchscopeError
from archscope.records import Analysis
from archscope.saved.journal_lines import address
from archscope.saved.long_run import LongRun

Found = Member | Uncounted

BASE: Point = cast(Point, ("base", 0))
SINGLE: Point = cast(Point, ("single", 0))
"""What ratios compare with; every shard counts both."""


def without_folder(model: str) -> str:
    """The name of a network whose file is elsewhere on another machine."""
    place, colon, name = model.rpartition(":")
    return f"{Path(place).name}{colon}{name}"


@dataclass(frozen=True)
class Question:
    """What is asked about a family, as the first line of a journal says it.

    Args:
        model: name of the base.
        keywords: of its constructor, as text.
        input: as text; its default when `None`.
        batch: as for `analyse`.
        by: the width keyword.
        groups: the counts.
        views: what is held equal.
        versions: of all that decides the answers.
    """

    model: str
    keywords: Mapping[str, str]
    input: str | None
    batch: int | str | None
    by: str
    groups: tuple[int, ...]
    views: tuple[Equal, ...]
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, family: Family, groups: Sequence[int], views: Sequence[Equal]) -> Question:
        """What is asked about a family here."""
        base = family.base
        keywords = {key: repr(value) for key, value in base.keywords.items()}
        versions = decided_by(luggage(family.model))
        spec = base.input_text
        return cls(
            family.model, keywords, spec, base.batch, family.by, tuple(groups), tuple(views),
            versions,
        )  # fmt: skip

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> Question:
        """Read the first line of a journal; a user's file without its folder, which differs.

        Raises:
            KeyError, TypeError, AttributeError: it is of something else.
        """
        given = dict(identity["groups"])
        groups, views = tuple(given.pop("groups")), tuple(given.pop("views"))
        return cls(without_folder(given.pop("model")), groups=groups, views=views, **given)

    @property
    def identity(self) -> dict[str, Any]:
        """For the first line of a journal."""
        asked = asdict(self)
        del asked["versions"]
        return {"groups": json.loads(json.dumps(asked))}

    @property
    def file_name(self) -> str:
        """A name for the journal, readable and its own."""
        definition = json.dumps(self.identity, sort_keys=True).encode()
        plain = "".join(c if c.isalnum() else "-" for c in Path(self.model).name)
        return f"groups-{plain}-{hashlib.sha256(definition).hexdigest()[:12]}.jsonl"

    @property
    def points(self) -> list[Point]:
        """Each network that is sought, in order."""
        return [point for view in self.views for point in self.points_of(view)]

    def points_of(self, view: Equal) -> list[Point]:
        """Those of one view."""
        return [(view, count) for count in self.groups]

    def entry(self, point: Point, found: Found) -> dict[str, Any]:
        """A network as a line of a journal, with what decided it."""
        asked = {**asdict(self), "model": without_folder(self.model), "point": point}
        for other in ("versions", "groups", "views"):
            del asked[other]
        return {**_written(point, found), **address(asked, self.versions)}


def _written(point: Point, found: Found) -> dict[str, Any]:
    line: dict[str, Any] = {"view": point[0], "asked": point[1]}
    line |= {"groups": found.groups, "width": found.width}
    if isinstance(found, Member):
        plain = replace(found.analysis, model=without_folder(found.analysis.model))
        return {**line, "analysis": archive.encoded(plain)}
    error = found.error
    return {**line, "error": [error.argument, error.problem, error.remedy]}


def named(found: Found, model: str) -> Found:
    """A network that was read back, under the name that the user gives it here."""
    if isinstance(found, Uncounted):
        return found
    return replace(found, analysis=replace(found.analysis, model=model))


def read(entry: Mapping[str, Any]) -> tuple[Point, Found]:
    """Read a line of a journal.

    Raises:
        ValueError: it is damaged.
    """
    try:
        view, asked = entry["view"], entry["asked"]
        groups, width = entry["groups"], entry["width"]
        error = entry.get("error")
        analysis = None if error else archive.decoded(Analysis, entry["analysis"])
    except KeyError as missing:
        raise ValueError(f"no field {missing}") from None
    known = view in EQUALS or (view, asked) in (BASE, SINGLE)
    if not (known and type(asked) is int and type(groups) is int):
        raise ValueError("it belongs to no point of the run")
    if error:
        if not (isinstance(error, list) and len(error) == 3):
            raise ValueError("its error is damaged")
        return (view, asked), Uncounted(groups, width, ArchscopeError(*map(str, error)))
    if analysis is None or type(width) is not int:
        raise ValueError("it has no width")
    return (view, asked), Member(groups, width, analysis)


def long_run(
    family: Family, groups: Sequence[int], views: Sequence[Equal], shard: Shard
) -> LongRun:
    """A part of a sweep over group counts as a run that a journal holds, with its times."""
    asked = Question.of(family, groups, views)
    return LongRun(
        asked.file_name,
        {**asked.identity, **shard.identity},
        points.key([family.base]),
        _read_any,
        len(shard.of(asked.points)) + 2,  # with what ratios compare with
        "networks",
    )


def _read_any(entry: dict[str, Any]) -> object:
    return points.read(entry) if points.MEASURED in entry else read(entry)
