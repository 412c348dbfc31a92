"""The effect of the group count: at equal width, at equal MACs, at equal parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, get_args

from archscope.ask.groups.family import GROUPS, PER_GROUP, Family
from archscope.ask.groups.members import Member, Members
from archscope.ask.target import Target
from archscope.ask.travel import Luggage, luggage
from archscope.engines.engine import Engine, Lost
from archscope.engines.local import HERE
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis, Layer

Equal = Literal["none", "macs", "params"]

EQUALS: tuple[Equal, ...] = get_args(Equal)

RESNET50 = Target("resnet50")


@dataclass(frozen=True)
class Uncounted:
    """A group count without a network.

    Args:
        width: value of the width keyword, `None` where already that cannot be had.
        error: why there is none.
    """

    groups: int
    width: int | None
    error: ArchscopeError


@dataclass(frozen=True)
class GroupSweep:
    """Networks that differ in their group count, in up to three views.

    Args:
        base: the network that ratios compare with.
        single: the base's width in one group.
        by: the width keyword.
        views: the members by what is held equal; ascending group counts.
    """

    base: Member
    single: Member
    by: str
    views: Mapping[Equal, tuple[Member | Uncounted, ...]]

    def counted(self, view: Equal) -> list[Member]:
        """The members of a view, without those that could not be counted."""
        return [member for member in self.views.get(view, ()) if isinstance(member, Member)]

    @cached_property
    def grouped(self) -> frozenset[str]:
        """Names of the convolutions whose group count the sweep sets."""
        known = _group_counts(self.base.analysis)
        return frozenset(
            name
            for view in self.views
            for member in (*self.counted(view), self.single)
            if member.groups != self.base.groups
            for name, groups in _group_counts(member.analysis).items()
            if groups == member.groups and known.get(name) == self.base.groups
        )

    def grouped_layers(self, analysis: Analysis) -> list[Layer]:
        """The layers of a member whose group count the sweep sets."""
        return [layer for layer in analysis.layers if layer.name in self.grouped]


def _group_counts(analysis: Analysis) -> dict[str, int]:
    return {
        layer.name: layer.setting(GROUPS)
        for layer in analysis.layers
        if layer.setting(GROUPS) is not None
    }


def parse_groups(text: str) -> tuple[int, ...]:
    """Read `1,2,4,8,32`; the counts come back in ascending order, each once.

    Raises:
        ArchscopeError: a count that is no whole number from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isdecimal() and part.isascii() and int(part) > 0):
            named = f"{part!r} is not a group count" if part else "a group count is missing"
            raise ArchscopeError(text, named, "give whole numbers from 1, such as 1,2,4,8,32")
    return tuple(sorted({int(part) for part in parts}))


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
    family: Family, groups: Sequence[int], equal: Sequence[Equal], engine: Engine = HERE
) -> GroupSweep:
    """Count the networks of a family, each view as one task; see `sweep_groups`."""
    members = Members(family)
    base = members.base()
    seen = partial(_view, members, base, tuple(groups), luggage(family.model))
    found = dict(engine.completed(seen, equal))
    views: dict[Equal, tuple[Member | Uncounted, ...]] = {}
    for index, equality in enumerate(equal):
        view = found[index]
        if isinstance(view, Lost):
            lost = ArchscopeError(family.model, str(view))
            view = tuple(Uncounted(count, None, lost) for count in groups)
        views[equality] = view
        errors = [member.error for member in view if isinstance(member, Uncounted)]
        if errors and all(m.groups == base.groups for m in view if isinstance(m, Member)):
            raise _refusal(family, equality, groups, errors[0])
    single = members.member(1, family.fixed_width(1))
    return GroupSweep(base, single, family.by, views)


def _view(
    members: Members, base: Member, groups: tuple[int, ...], sent: Luggage, equal: Equal
) -> tuple[Member | Uncounted, ...]:
    """One view, counted where a user's file may have another path."""
    if sent.name_here() == sent.name:
        return tuple(_View(equal, members, base).of(groups))
    here = Members(members.family.renamed(sent.name_here()))
    return tuple(_as_named(sent, member) for member in _View(equal, here, base).of(groups))


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

    def of(self, groups: Sequence[int]) -> Iterator[Member | Uncounted]:
        """The member of each group count; solving starts from the width found last."""
        start = self.base.width
        for count in groups:
            found = self._sought(count, start)
            start = found.width or start
            yield found

    def _sought(self, groups: int, start: int) -> Member | Uncounted:
        width = None
        try:
            width = self._width(groups, start)
            return self.members.member(groups, width)
        except ArchscopeError as error:
            return Uncounted(groups, width, error)

    def _width(self, groups: int, start: int) -> int:
        from archscope.ask.match import solve

        members, total = self.members, self.base.analysis.total
        if groups == self.base.groups:
            return self.base.width
        if self.equal == "none":
            return members.family.fixed_width(groups)
        if self.equal == "params":
            return solve(total.params, lambda w: members.params(groups, w), start=start).value
        return solve(total.macs, lambda w: members.macs(groups, w), start=start).value


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
