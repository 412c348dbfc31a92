"""Which measured networks of a sweep are those of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.groups.views import GroupSweep
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis, Measurement, Profile
from archscope.units import si


def same_network(analysis: Analysis, profile: Profile) -> bool:
    """Whether a profile measured the network that was counted, at any batch size."""
    counted = profile.analysis
    if counted is None or len(counted.layers) != len(analysis.layers):
        return False
    mine, other = analysis.total, counted.total
    batches = analysis.input.batch, counted.input.batch
    if not (isinstance(batches[0], int) and isinstance(batches[1], int)):
        return False
    return mine.params == other.params and mine.macs * batches[1] == other.macs * batches[0]


def unused(sweep: GroupSweep, profiles: Sequence[Profile]) -> list[str]:
    """Of each profile, why no row has its times; empty where one does."""
    taken: set[int] = set()
    reasons = []
    for profile in profiles:
        rows = {
            index
            for index, member in enumerate(m for view in sweep.views for m in sweep.counted(view))
            if same_network(member.analysis, profile)
        }
        if not rows:
            reasons.append(_no_row(sweep, profile))
        elif not {"forward", "backward"} & profile.phases.keys():
            reasons.append("it holds no forward or backward time")
        elif rows <= taken:
            reasons.append("its rows already have the times of an earlier file")
        else:
            reasons.append("")
        taken |= rows
    return reasons


def unused_notes(sweep: GroupSweep, names: Sequence[str], profiles: Sequence[Profile]) -> list[str]:
    """A sentence for each profile whose times are in no row.

    Args:
        sweep: what was counted.
        names: of the profiles, for messages.
        profiles: measured before.

    Raises:
        ArchscopeError: one is of another network.
    """
    swept = sweep.base.analysis.model
    notes = []
    for name, profile, reason in zip(names, profiles, unused(sweep, profiles), strict=True):
        if reason and profile.model != swept:
            problem = f"measured {profile.model}, which is not a row of {swept}'s ({reason})"
            raise ArchscopeError(parameter("profile", name), problem, "leave it out")
        if reason:
            notes.append(f"Times of {name} are not used: {reason}.")
    return notes


def _no_row(sweep: GroupSweep, profile: Profile) -> str:
    """Why no row counts as a profile does."""
    counted = sweep.base.analysis.input
    if profile.analysis is None:
        return "it holds no count to find its row by"
    if profile.input.sample_shapes != counted.sample_shapes:
        return f"it is measured on {profile.input}, and the rows count {counted}"
    total = profile.analysis.total
    return f"no row has its {total.params:,} parameters and {si(total.macs)}MACs"


def profile_of(analysis: Analysis, profiles: Sequence[Profile]) -> Profile | None:
    return next((profile for profile in profiles if same_network(analysis, profile)), None)


def measured(analysis: Analysis, phase: str, profiles: Sequence[Profile]) -> Measurement | None:
    profile = profile_of(analysis, profiles)
    return None if profile is None else profile.phases.get(phase)


def timed_networks(
    sweep: GroupSweep, profiles: Sequence[Profile]
) -> dict[tuple[int, int], Profile]:
    """By group count and width, what was measured of the networks of all views."""
    found = {
        (member.groups, member.width): profile_of(member.analysis, profiles)
        for view in sweep.views
        for member in sweep.counted(view)
    }
    return {key: profile for key, profile in sorted(found.items()) if profile is not None}
