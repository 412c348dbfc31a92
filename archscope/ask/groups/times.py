"""A sweep over group counts → times of every network in it, measured now or predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath

from archscope import archive
from archscope.ask.groups.family import GROUPS, Family
from archscope.ask.groups.members import Member
from archscope.ask.groups.views import GroupSweep
from archscope.ask.predict import predicted_at
from archscope.ask.profile import points
from archscope.ask.profile.measured import DEFAULT_BATCH, profile
from archscope.ask.profile.measuring import Measuring
from archscope.ask.profile.points import Question, question
from archscope.ask.profile.there import once
from archscope.ask.target import Target
from archscope.ask.travel import Luggage, luggage
from archscope.engines.engine import Engine
from archscope.errors import ArchscopeError
from archscope.latency.place import Place
from archscope.measure.session import Plan, Progress, silent
from archscope.measure.side_by_side import SideBySide
from archscope.parameters import parameter
from archscope.records import BatchSweep, Dim, PredictedTime, Profile
from archscope.saved.journal import Journal
from archscope.saved.record import at_batch


def distinct(sweep: GroupSweep) -> list[Member]:
    """The networks of all views, each once."""
    counted = (member for view in sweep.views for member in sweep.counted(view))
    return list({(member.groups, member.width): member for member in counted}.values())


def questions(
    family: Family, members: Sequence[Member], plan: Plan, gpu: str = ""
) -> list[Question]:
    """What is asked of the measurement of each network; see `points.question`."""
    base = family.base
    asked = []
    for member in members:
        keywords = {**base.keywords, GROUPS: member.groups, family.by: member.width}
        batch = member.analysis.input.batch
        target = Target(family.model, keywords, base.input, batch)
        asked.append(question(target, plan, gpu))
    return asked


def in_turns(
    engine: Engine, family: Family, members: Sequence[Member], plan: Plan
) -> list[Profile]:
    """Measure networks, all in one task on one device of another machine.

    Raises:
        ArchscopeError: a network fails there, or the process that measured ended.
    """
    there = partial(_there, family, tuple(members), luggage(family.model))
    return list(once(engine, there, plan).profiles)


def _there(family: Family, members: Sequence[Member], sent: Luggage, plan: Plan) -> SideBySide:
    return SideBySide(tuple(measured(family.renamed(sent.name_here()), members, plan, silent)))


def measured(
    family: Family, members: Sequence[Member], plan: Plan, progress: Progress
) -> Iterator[Profile]:
    """Measure networks, at the input and batch that they were counted at.

    An interruption keeps what was measured by then.

    Args:
        family: what makes the networks.
        members: which.
        plan: device, settings and phases.
        progress: called with which network is measured, and what of it.

    Raises:
        ArchscopeError: a network fails, or its batch does not fit.
    """
    for number, member in enumerate(members, 1):
        place = f"{number}/{len(members)} groups={member.groups}, {family.by}={member.width}"

        def report(label: str, share: float, place: str = place) -> None:
            progress(f"{place}: {label}", share)

        analysis = member.analysis
        network = family.build(member.groups, member.width)
        batch = analysis.input.batch
        assert isinstance(batch, int), "a measured input has a numeric batch"
        times = profile(Target(network, {}, analysis.input, batch), plan, progress=report)
        yield replace(times, model=analysis.model, keywords=analysis.keywords, analysis=analysis)
        if times.interrupted:
            return


def timed(
    family: Family, sweep: GroupSweep, how: Measuring, journal: Journal | None
) -> list[Profile]:
    """Measure each network once, in turns; those that the journal holds are not measured again.

    Args:
        family: what makes the networks.
        sweep: which.
        how: each is measured.
        journal: holds each as soon as it is measured.

    Returns:
        a Profile each, up to one that was interrupted.

    Raises:
        ArchscopeError: a network fails, or nothing can run there.
    """
    members = distinct(sweep)

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [members[index] for index in chosen]
        if how.here:
            with how.feedback.bars() as bars:
                yield from zip(chosen, measured(family, some, how.plan, bars), strict=False)
            return
        with how.engine([family.model]) as place:
            yield from zip(chosen, in_turns(place, family, some, how.plan), strict=False)

    asked = questions(family, members, how.plan, how.gpu)
    return points.measured(asked, [family.model] * len(asked), measure, journal)


def batch_measured(batch: Dim | None) -> int:
    """The batch at which networks are counted that are measured too.

    Raises:
        ArchscopeError: a symbol.
    """
    if isinstance(batch, str):
        raise ArchscopeError(
            parameter("batch", batch), "is not a batch size to measure at", "give one like 8"
        )
    return batch or DEFAULT_BATCH


def measured_before(path: str | PathLike[str] | Profile, batch: Dim | None) -> Profile:
    """A profile, read from its file where it is named by it.

    Args:
        path: of a profile, or of one at several batches; or the profile.
        batch: which of several.

    Raises:
        ArchscopeError: the file holds no times, or none of this batch.
    """
    if isinstance(path, Profile):
        return path
    record = archive.load(fspath(path))
    if isinstance(record, BatchSweep):
        return at_batch(record, batch, fspath(path))
    if not isinstance(record, Profile):
        raise ArchscopeError(
            parameter("profile", fspath(path)), "holds no times", "save one with archscope profile"
        )
    return record


PredictedTimes = Mapping[tuple[int, int], tuple[PredictedTime, ...]]
"""Predicted steps by group count and width."""


def predicted(family: Family, sweep: GroupSweep, places: Sequence[Place]) -> PredictedTimes:
    """Predict the step of each network once, at the input and batch that it was counted at.

    Args:
        family: what makes the networks.
        sweep: what was counted.
        places: the GPUs, and how the networks run there.

    Raises:
        ArchscopeError: a network cannot be run as a prediction needs it.
    """
    found = {}
    for member in (sweep.base, *(m for view in sweep.views for m in sweep.counted(view))):
        if (member.groups, member.width) not in found and places:
            network = family.build(member.groups, member.width)
            given = member.analysis.input
            batch = given.batch if isinstance(given.batch, int) else 1
            target = Target(network, {}, given, batch)
            found[member.groups, member.width] = tuple(
                prediction.time for prediction in predicted_at(target, places)
            )
    return found
