"""The effect of the group count: at equal width, at equal MACs, at equal parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis, Layer

if TYPE_CHECKING:
    from torch import nn


Equal = Literal["none", "macs", "params"]

EQUALS: tuple[Equal, ...] = get_args(Equal)

GROUPS = "groups"
RESNET50 = Target("resnet50")
PER_GROUP = "width_per_group"
"""Constructor keywords as in torchvision's ResNet and archscope's ResNeXt."""


@dataclass(frozen=True)
class Member:
    """One network of a sweep over group counts.

    Args:
        groups: of its grouped convolutions.
        width: value of the width keyword.
        analysis: what it costs.
    """

    groups: int
    width: int
    analysis: Analysis


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
    return Family(base, by).sweep(groups, equal)


class Family:
    """A base network as a function of its group count and width."""

    def __init__(self, base: Target, by: str | None) -> None:
        model = self.model = base.name
        subject = base.subject()
        self.base_target = base if base.input else replace(base, input=subject.default_input)
        defaults = _defaults(model, subject.module, base.keywords)
        self.grouped_by_keyword = GROUPS in defaults
        self.groups: int = defaults.get(GROUPS, 1)
        self.by = by or (PER_GROUP if PER_GROUP in defaults else _width_keyword(base))
        if not isinstance(defaults.get(self.by), int):
            takes = ", ".join(key for key, value in defaults.items() if type(value) is int)
            raise ArchscopeError(
                parameter("by", self.by),
                f"{model} has no such whole number",
                f"it has {takes or 'none'}",
            )
        self.width: int = defaults[self.by]
        self._analyses: dict[tuple[int, int], Analysis] = {}

    def sweep(self, groups: Sequence[int], equal: Sequence[Equal]) -> GroupSweep:
        """Count the network with each group count; see `sweep_groups`."""
        first = self.base()
        views: dict[Equal, tuple[Member | Uncounted, ...]] = {}
        for view in equal:
            members = views[view] = tuple(self.members(view, groups, first))
            errors = [member.error for member in members if isinstance(member, Uncounted)]
            if errors and all(m.groups == first.groups for m in members if isinstance(m, Member)):
                raise self.refusal(view, groups, errors[0])
        single = self.member(1, self.fixed_width(1))
        return GroupSweep(first, single, self.by, views)

    def members(
        self, view: Equal, groups: Sequence[int], base: Member
    ) -> Iterator[Member | Uncounted]:
        start = self.width
        for count in groups:
            found = self._sought(view, count, base, start)
            start = found.width or start
            yield found

    def _sought(self, view: Equal, groups: int, base: Member, start: int) -> Member | Uncounted:
        width = None
        try:
            if groups == self.groups:
                width = self.width
            elif view == "none":
                width = self.fixed_width(groups)
            else:
                width = self._solved(view, groups, base.analysis, start)
            return self.member(groups, width)
        except ArchscopeError as error:
            return Uncounted(groups, width, error)

    def base(self) -> Member:
        """The network as it comes, with its group count and width as keywords.

        Raises:
            ArchscopeError: it cannot be counted.
        """
        try:
            return self.member(self.groups, self.width)
        except ArchscopeError as error:
            if error.argument != self.model:
                raise
            # Without these keywords it can be built, so its own values differ from the class's.
            raise ArchscopeError(
                parameter("base", self.model),
                f"presets {GROUPS} or {self.by}",
                "name the network that it is a variant of, such as resnet50",
            ) from error

    def member(self, groups: int, width: int) -> Member:
        """The network of this group count and width.

        Raises:
            ArchscopeError: it cannot be counted.
        """
        return Member(groups, width, self._count(groups, width, backward=True))

    def fixed_width(self, groups: int) -> int:
        """The width keyword at which the grouped convolutions stay as wide as the base's.

        Raises:
            ArchscopeError: the groups do not divide that width.
        """
        if self.by != PER_GROUP:
            return self.width
        whole = self.groups * self.width
        if whole % groups:
            raise ArchscopeError(str(groups), f"{groups} groups do not divide {whole} channels")
        return whole // groups

    def refusal(self, view: Equal, groups: Sequence[int], error: ArchscopeError) -> ArchscopeError:
        """What to say when no member of a view can be had: the base or the counts are at fault."""
        if error.argument == self.model:
            remedy = "name one with groups in its blocks, such as resnet50"
            return ArchscopeError(parameter("base", self.model), error.problem, remedy)
        return ArchscopeError(",".join(map(str, groups)), error.problem, self._remedy(view))

    def _remedy(self, view: Equal) -> str:
        if view != "none":
            return "give fewer groups"
        if self.by != PER_GROUP:
            return "give group counts that divide every convolution's channels"
        whole = self.groups * self.width
        divisors = [str(n) for n in range(1, whole + 1) if whole % n == 0]
        return f"give divisors ({', '.join(divisors)}), or {parameter('equal', 'macs')}"

    def _solved(self, view: Equal, groups: int, base: Analysis, start: int) -> int:
        from archscope.ask.match import solve

        if view == "params":
            target = base.total.params
            return solve(target, lambda w: self._params(groups, w), start=start).value
        target = base.total.macs
        return solve(target, lambda w: self._macs(groups, w), start=start).value

    def _macs(self, groups: int, width: int) -> int:
        return self._count(groups, width, backward=False).total.macs

    def _params(self, groups: int, width: int) -> int:
        known = self._analyses.get((groups, width))
        if known is not None:
            return known.total.params
        module = self._module(groups, width)
        return sum(parameter.numel() for parameter in module.parameters())

    def _count(self, groups: int, width: int, *, backward: bool) -> Analysis:
        known = self._analyses.get((groups, width))
        if known is None or (backward and not known.backward_traced):
            known = self._analyses[groups, width] = self._analysis(groups, width, backward)
        return known

    def _analysis(self, groups: int, width: int, backward: bool) -> Analysis:
        from archscope.ask.count import analyse, analyse_both_passes

        count = analyse_both_passes if backward else analyse
        chosen = self._chosen(groups, width)
        if self.grouped_by_keyword:
            return count(chosen)
        from archscope.resolve.inputs import setting_text

        counted = count(Target(self._module(groups, width), {}, chosen.input, chosen.batch))
        keywords = {**chosen.keywords, GROUPS: groups}
        written = tuple((key, setting_text(value)) for key, value in keywords.items())
        return replace(counted, model=self.model, keywords=written)

    def _chosen(self, groups: int, width: int) -> Target:
        chosen = self.base_target.having(**{self.by: width})
        return chosen.having(**{GROUPS: groups}) if self.grouped_by_keyword else chosen

    def build(self, groups: int, width: int) -> nn.Module:
        """The network of this group count and width, with weights."""
        subject = self._chosen(groups, width).subject()
        assert subject.rebuild is not None, "a name can be built"
        return self._split(subject.rebuild(), groups)

    def _module(self, groups: int, width: int) -> nn.Module:
        return self._split(self._chosen(groups, width).subject().module, groups)

    def _split(self, module: nn.Module, groups: int) -> nn.Module:
        if not self.grouped_by_keyword:
            _group_convolutions(module, groups)
        return module


def _defaults(model: str, module: nn.Module, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's keywords with the values that they have in this network."""
    from archscope import zoo

    signature = inspect.signature(type(module).__init__).parameters.values()
    own = {p.name: p.default for p in signature if p.default is not p.empty}
    preset = zoo.card(model).keywords if model in zoo.names() else {}
    return {**own, **preset, **keywords}


def _width_keyword(base: Target) -> str:
    from archscope.ask.match import width_keyword

    try:
        return width_keyword(base)
    except ArchscopeError as error:
        raise ArchscopeError(
            parameter("base", base.name), "has no known width keyword", error.remedy
        ) from None


def _group_convolutions(module: nn.Module, groups: int) -> None:
    """Split every k×k convolution (k > 1) behind the first one into groups, in place.

    Raises:
        ArchscopeError: the groups do not divide the channels of one.
    """
    from torch import nn

    convolutions = [
        (parent, name, part)
        for parent in module.modules()
        for name, part in parent.named_children()
        if isinstance(part, nn.Conv2d) and part.groups == 1 and max(part.kernel_size) > 1
    ]
    for parent, name, conv in convolutions[1:]:
        for channels in (conv.in_channels, conv.out_channels):
            if channels % groups:
                raise ArchscopeError(
                    str(groups), f"{groups} groups do not divide {channels} channels"
                )
        geometry: dict[str, Any] = {
            key: getattr(conv, key)
            for key in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        }
        grouped = nn.Conv2d(
            conv.in_channels, conv.out_channels, groups=groups, bias=conv.bias is not None,
            device=conv.weight.device, dtype=conv.weight.dtype, **geometry,
        )  # fmt: skip
        setattr(parent, name, grouped)
