"""Group counts → the networks that have them, each counted where the engine has room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from archscope import interruption
from archscope.ask.groups.entries import BASE, SINGLE, Found, Question, named, read
from archscope.ask.groups.family import PER_GROUP, Family
from archscope.ask.groups.members import Member, Members
from archscope.ask.groups.views import EQUALS, Equal, GroupSweep, Point, Uncounted
from archscope.ask.network.allowance import with_allowance
from archscope.ask.target import Target
from archscope.ask.travel import Luggage, luggage
from archscope.engines.engine import Engine, Lost
from archscope.engines.local import HERE
from archscope.engines.shard import ALL, Shard
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.saved.journal import Journal

RESNET50 = Target("resnet50")


def sweep_groups(
    groups: Sequence[int],
    base: Target = RESNET50,
    *,
    by: str | None = None,
    equal: Sequence[Equal] = EQUALS,
) -> GroupSweep:
    """Count a network with each group count, its width fixed or solved for equal cost.

    Args:
        groups: the counts.
        base: a network that has a name, with its call.
            A constructor without `groups` gets them in every convolution with a kernel larger
            than 1×1 behind the first one.
        by: the keyword that is solved for equal cost, `width_per_group` where there is one.
        equal: which views: `none` holds the width (`width_per_group` falls as the groups rise,
            any other keyword stays), `macs` and `params` solve it for the base's total.

    Raises:
        ArchscopeError: the base cannot be counted or its width keyword is unknown, or no member
            of a view can be had.
    """
    return swept(Family(base, by), groups, equal)


def swept(
    family: Family,
    groups: Sequence[int],
    equal: Sequence[Equal],
    engine: Engine = HERE,
    *,
    shard: Shard = ALL,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> GroupSweep:
    """Count the networks of a family, each as one task; see `sweep_groups`.

    Args:
        family: builds them.
        groups: the counts.
        equal: the views.
        engine: where they are counted.
        shard: which of the networks; each shard counts the base, too.
        journal: gets each network as it is counted; those that it holds are not counted again.
        progress: called with the number of networks done and their total.
    """
    question = Question.of(family, groups, equal)
    held = () if journal is None else [read(e) for e in journal.entries if "view" in e]
    known = {point: named(member, family.model) for point, member in held}
    members = Members(family)
    members.take(found for found in known.values() if isinstance(found, Member))
    base, single = members.base(), members.member(1, family.fixed_width(1))
    points = shard.of(question.points)
    found: dict[Point, Found] = {p: known[p] for p in points if p in known}
    add = _writer(journal, question)
    for place, member in ((BASE, base), (SINGLE, single)):
        if place not in known:
            add(place, member)
    waiting = [point for point in points if point not in found]
    progress(len(found), len(points))
    seen = partial(_sought, members, base, luggage(family.model))
    for index, one in engine.completed(with_allowance(seen), waiting):
        interruption.check()
        point = waiting[index]
        if isinstance(one, Lost):
            found[point] = Uncounted(point[1], None, ArchscopeError(family.model, str(one)))
        else:
            found[point] = one
        add(point, found[point], finished=not isinstance(one, Lost))
        progress(len(found), len(points))
    sweep = arranged(question, base, single, found)
    if shard.count == 1:
        _require_members(family, sweep, groups)
    return sweep


def arranged(
    question: Question, base: Member, single: Member, found: Mapping[Point, Found]
) -> GroupSweep:
    """The views of what was found, in the order that was asked for; a shard has some of them."""
    views: dict[Equal, tuple[Found, ...]] = {}
    for equality in question.views:
        held = tuple(found[point] for point in question.points_of(equality) if point in found)
        if held:
            views[equality] = held
    return GroupSweep(base, single, question.by, views)


def _writer(journal: Journal | None, question: Question) -> Callable[..., None]:
    """What puts a network into the journal, if there is one."""

    def add(point: Point, found: Found, finished: bool = True) -> None:
        if journal is not None:
            certain = not isinstance(found, Member) or found.certain
            (journal.add if finished else journal.note)(
                question.entry(point, found), certain=certain
            )

    return add


def _sought(members: Members, base: Member, sent: Luggage, point: Point) -> Member | Uncounted:
    """One network, counted where a user's file may have another path."""
    if sent.name_here() == sent.name:
        return _View(point[0], members, base).sought(point[1])
    here = Members(members.family.renamed(sent.name_here()))
    return _as_named(sent, _View(point[0], here, base).sought(point[1]))


def _as_named(sent: Luggage, member: Member | Uncounted) -> Member | Uncounted:
    if isinstance(member, Member):
        return replace(member, analysis=replace(member.analysis, model=sent.name))
    error = member.error
    named = ArchscopeError(
        sent.worded(error.argument), sent.worded(error.problem), sent.worded(error.remedy)
    )
    return replace(member, error=named)


@dataclass(frozen=True)
class _View:
    """What is equal in one view, the networks, and the one that they are compared with."""

    equal: Equal
    members: Members
    base: Member

    def sought(self, groups: int) -> Member | Uncounted:
        """The member of a group count; solving starts from the base's width, wherever it runs."""
        width = None
        try:
            width = self._width(groups)
            return self.members.member(groups, width)
        except ArchscopeError as error:
            return Uncounted(groups, width, error)

    def _width(self, groups: int) -> int:
        from archscope.ask.match import solve

        members, total, start = self.members, self.base.analysis.total, self.base.width
        if groups == self.base.groups:
            return self.base.width
        if self.equal == "none":
            return members.family.fixed_width(groups)
        if self.equal == "params":
            return solve(total.params, lambda w: members.params(groups, w), start=start).value
        return solve(total.macs, lambda w: members.macs(groups, w), start=start).value


def _require_members(family: Family, sweep: GroupSweep, groups: Sequence[int]) -> None:
    """Refuse a sweep of which a view has no network but the base.

    Raises:
        ArchscopeError: the base or the counts are at fault.
    """
    for view, found in sweep.views.items():
        errors = [member.error for member in found if isinstance(member, Uncounted)]
        members = [member for member in found if isinstance(member, Member)]
        if errors and all(member.groups == sweep.base.groups for member in members):
            raise _refusal(family, view, groups, errors[0])


def _refusal(
    family: Family, view: Equal, groups: Sequence[int], error: ArchscopeError
) -> ArchscopeError:
    """What to say when no member of a view can be had: the base or the counts are at fault."""
    if error.argument == family.model:
        remedy = "name one with groups in its blocks, such as resnet50"
        return ArchscopeError(parameter("base", family.model), error.problem, remedy)
    return ArchscopeError(",".join(map(str, groups)), error.problem, _remedy(family, view))


def _remedy(family: Family, view: Equal) -> str:
    if view != "none":
        return "give fewer groups"
    if family.by != PER_GROUP:
        return "give group counts that divide every convolution's channels"
    divisors = ", ".join(map(str, family.divisors()))
    return f"give divisors ({divisors}), or {parameter('equal', 'macs')}"
