"""A sweep over group counts → a Profile of every network in it, measured now."""

from __future__ import annotations

from dataclasses import replace

from archscope.ask.groups.family import Family
from archscope.ask.groups.views import GroupSweep
from archscope.ask.profile.measured import profile
from archscope.ask.target import Target
from archscope.measure.session import Plan, Progress
from archscope.records import Profile


def measured(family: Family, sweep: GroupSweep, plan: Plan, progress: Progress) -> list[Profile]:
    """Measure each network once, at the input and batch that it was counted at.

    An interruption keeps what was measured by then.

    Args:
        family: what makes the networks.
        sweep: what was counted.
        plan: device, settings and phases.
        progress: called with which network is measured, and what of it.

    Raises:
        ArchscopeError: a network fails, or its batch does not fit.
    """
    counted = (member for view in sweep.views for member in sweep.counted(view))
    members = {(member.groups, member.width): member for member in counted}
    found = []
    for number, member in enumerate(members.values(), 1):
        place = f"{number}/{len(members)} groups={member.groups}, {sweep.by}={member.width}"

        def report(label: str, share: float, place: str = place) -> None:
            progress(f"{place}: {label}", share)

        analysis = member.analysis
        network = family.build(member.groups, member.width)
        batch = analysis.input.batch
        assert isinstance(batch, int), "a measured input has a numeric batch"
        times = profile(Target(network, {}, analysis.input, batch), plan, progress=report)
        found.append(
            replace(times, model=analysis.model, keywords=analysis.keywords, analysis=analysis)
        )
        if times.interrupted:
            break
    return found
