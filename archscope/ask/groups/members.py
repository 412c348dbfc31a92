"""The networks of a family, each counted once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from archscope.ask.groups.family import GROUPS, Family
from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis
from archscope.saved.answers import is_certain


@dataclass(frozen=True)
class Member:
    """One network of a sweep over group counts.

    Args:
        groups: of its grouped convolutions.
        width: value of the width keyword.
        analysis: what it costs.
        certain: whether nothing that differs from run to run was read on the way.
    """

    groups: int
    width: int
    analysis: Analysis
    certain: bool = field(default=True, compare=False)


class Members:
    """What the networks of a family cost.

    Args:
        family: builds them.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self._analyses: dict[tuple[int, int], Analysis] = {}

    def take(self, known: Iterable[Member]) -> None:
        """Count no network again that an earlier run counted."""
        self._analyses |= {(found.groups, found.width): found.analysis for found in known}

    def base(self) -> Member:
        """The network as it comes, with its group count and width as keywords.

        Raises:
            ArchscopeError: it cannot be counted.
        """
        family = self.family
        try:
            return self.member(family.groups, family.width)
        except ArchscopeError as error:
            if error.argument != family.model:
                raise
            # Without these keywords it can be built, so its own values differ from the class's.
            raise ArchscopeError(
                parameter("base", family.model),
                f"presets {GROUPS} or {family.by}",
                "name the network that it is a variant of, such as resnet50",
            ) from error

    def member(self, groups: int, width: int) -> Member:
        """The network of this group count and width.

        Raises:
            ArchscopeError: it cannot be counted.
        """
        analysis = self._count(groups, width, backward=True)
        return Member(groups, width, analysis, is_certain(self.family.model))

    def macs(self, groups: int, width: int) -> int:
        """Forward multiply-accumulates of the network of this group count and width."""
        return self._count(groups, width, backward=False).total.macs

    def params(self, groups: int, width: int) -> int:
        """The number of its parameters; the network is built but not run."""
        known = self._analyses.get((groups, width))
        if known is not None:
            return known.total.params
        module = self.family.on_meta(groups, width)
        return sum(parameter.numel() for parameter in module.parameters())

    def _count(self, groups: int, width: int, *, backward: bool) -> Analysis:
        known = self._analyses.get((groups, width))
        if known is None or (backward and not known.backward_traced):
            known = self._analyses[groups, width] = self._analysis(groups, width, backward)
        return known

    def _analysis(self, groups: int, width: int, backward: bool) -> Analysis:
        from archscope.ask.count import analyse, analyse_both_passes

        count = analyse_both_passes if backward else analyse
        family = self.family
        chosen = family.chosen(groups, width)
        if family.grouped_by_keyword:
            return count(chosen)
        from archscope.resolve.inputs import setting_text

        counted = count(Target(family.on_meta(groups, width), {}, chosen.input, chosen.batch))
        keywords = {**chosen.keywords, GROUPS: groups}
        written = tuple((key, setting_text(value)) for key, value in keywords.items())
        return replace(counted, model=family.model, keywords=written)
