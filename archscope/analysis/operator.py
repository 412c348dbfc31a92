"""What is known of one overload of an operator before it runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from archscope.analysis import rules, shapes
from archscope.analysis.ops import Rule


class Operator:
    """What the trace knows of one overload, looked up once."""

    __slots__ = (
        "composite", "is_view", "kind", "looked_up", "name", "overload", "rule", "shape", "wanted",
    )  # fmt: skip

    def __init__(self, overload: Any) -> None:
        self.overload = overload
        self.name: str = overload._schema.name
        self.shape = shapes.RULES.get(overload)
        self.is_view: bool = overload.is_view or self.name in rules.VIEWS
        self.looked_up = rules.LOOKED_UP.get(self.name)
        self.wanted = self.name in rules.ASKED_FOR
        self.composite = False
        self.rule: Rule | None = None
        self.kind: rules.OperatorKind = "unknown"
        if self.is_view:
            self.kind = "free"
        elif (found := rules.lookup(self.name)) is not None:
            self.kind, self.rule = found
        elif is_pointwise(overload):
            self.kind, self.rule = "elementwise", rules.ELEMENTWISE["aten::where"]
        else:
            self.composite = overload._can_decompose()


def is_pointwise(overload: Any) -> bool:
    """Whether an operator works element by element.

    PyTorch tags such operators, but not every in-place form of one (`mish_`; in 2.11 `hardtanh_`),
    and no primitive.
    """
    if torch.Tag.pointwise in overload.tags:
        return True
    name = rules.functional(rules.namesake(overload._schema.name))
    namespace, _, name = name.partition("::")
    form = getattr(getattr(torch.ops, namespace), name, None)
    overloads = [] if form is None else map(partial(getattr, form), form.overloads())
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)
