"""A network as a function of its group count and width."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.saved.record import saved

if TYPE_CHECKING:
    from torch import nn


GROUPS = "groups"
PER_GROUP = "width_per_group"
"""Constructor keywords as in torchvision's ResNet and archscope's ResNeXt."""


def check_base(base: object, model: object) -> None:
    """Refuse the network of a record where the base is none: the base itself was meant.

    Raises:
        ArchscopeError: there is such a network.
    """
    if model is not None and saved(base) is None:
        name = str(getattr(model, "__name__", model))[:60]
        remedy = f"write {parameter('base', name)}"
        raise ArchscopeError(parameter("model", name), "goes with a saved record", remedy)


class Family:
    """Builds a base network with any group count and width.

    Args:
        base: a network that has a name, with its call.
        by: the width keyword, `width_per_group` where there is one.

    Raises:
        ArchscopeError: the width keyword is unknown.
    """

    def __init__(self, base: Target, by: str | None) -> None:
        model = self.model = base.name
        subject = base.subject()
        self.base = base if base.input else replace(base, input=subject.default_input)
        defaults = _defaults(model, subject.module, base.keywords)
        self.grouped_by_keyword = GROUPS in defaults
        self.groups: int = defaults.get(GROUPS, 1)
        self.by = by or (PER_GROUP if PER_GROUP in defaults else _width_keyword(base))
        if not isinstance(defaults.get(self.by), int):
            takes = ", ".join(key for key, value in defaults.items() if type(value) is int)
            raise ArchscopeError(
                parameter("by", self.by),
                f"{model} has no integer keyword of this name",
                f"it has {takes or 'none'}",
            )
        self.width: int = defaults[self.by]

    def renamed(self, model: str) -> Family:
        """The same networks of a base that has another name on this machine."""
        if model == self.model:
            return self
        found = copy(self)
        found.model, found.base = model, replace(self.base, model=model)
        return found

    def fixed_width(self, groups: int) -> int:
        """The width keyword at which the grouped convolutions stay as wide as the base's.

        Raises:
            ArchscopeError: the groups do not divide that width.
        """
        if self.by != PER_GROUP:
            return self.width
        channels = self.groups * self.width
        if channels % groups:
            raise ArchscopeError(str(groups), f"{groups} groups do not divide {channels} channels")
        return channels // groups

    def divisors(self) -> list[int]:
        """The group counts that divide the grouped channels at a fixed width."""
        channels = self.groups * self.width
        return [n for n in range(1, channels + 1) if channels % n == 0]

    def chosen(self, groups: int, width: int) -> Target:
        """The base with these keywords; one that takes no `groups` is split when it is built."""
        chosen = self.base.having(**{self.by: width})
        return chosen.having(**{GROUPS: groups}) if self.grouped_by_keyword else chosen

    def build(self, groups: int, width: int) -> nn.Module:
        """The network of this group count and width, with weights."""
        subject = self.chosen(groups, width).subject()
        assert subject.rebuild is not None, "a name can be built"
        return self._split(subject.rebuild(), groups)

    def on_meta(self, groups: int, width: int) -> nn.Module:
        """As `build`, without weights."""
        return self._split(self.chosen(groups, width).subject().module, groups)

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
