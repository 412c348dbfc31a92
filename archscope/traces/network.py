"""An operator of the network that was counted, and whether one of a trace is like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archscope.traces.events import Call, Event, Shapes
from archscope.traces.families import base, family
from archscope.traces.settings import Settings, unlike_setting


@dataclass(frozen=True, slots=True)
class NetworkOperator:
    """One operator of the network.

    Args:
        name: `aten::conv2d`.
        shapes: of its inputs.
        calls: the module calls around it, outermost first.
        number: its place among the network's operators, from 1.
        functions: the module call that runs each function around it, the innermost first; see
            `functions.py`.
        holder: the module that first holds its weight, as a tied one has several; `None` where
            its module has no such weight.
        settings: of a convolution or pooling, see `settings.py`.
    """

    name: str
    shapes: Shapes
    calls: tuple[Call, ...]
    number: int
    functions: tuple[Call | None, ...] = ()
    holder: str | None = None
    settings: Settings = ()

    def __str__(self) -> str:
        place = self.calls[-1].name if self.calls else ""
        return f"operator {self.number}" + (f" ({place})" if place else "")


def alike(event: Event, operator: NetworkOperator) -> bool:
    if family(event.name) != family(operator.name):
        return False
    comparable = base(event.name) == base(operator.name) or family(event.name) == "convolution"
    if not event.shapes or not comparable:
        return True
    if unlike_setting(event.settings, operator.settings) is not None:
        return False
    pairs = list(zip(own_shapes(event, operator), operator.shapes, strict=False))[:2]
    return all(theirs == ours or not theirs or not ours for theirs, ours in pairs)


def own_shapes(event: Event, operator: NetworkOperator) -> Shapes:
    """Shapes of an operator's inputs, without those of other operators.

    TorchScript's interpreter records all that its stack holds, the operator's inputs last.
    """
    beneath = len(event.shapes) - len(operator.shapes)
    if beneath <= 0 or base(event.name) != base(operator.name):
        return event.shapes
    at = weight_at(event.name)
    is_first = event.shapes[at : at + 1] == operator.shapes[at : at + 1]
    return event.shapes if is_first else event.shapes[beneath:]


SIZED = frozenset({
    "scaled_dot_product_attention", "matmul", "bmm", "baddbmm", "softmax", "max_pool1d",
    "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d",
})  # fmt: skip
"""Operators without weights whose first input shows heads, windows and the number of tokens."""


def has_size_of(event: Event, operator: NetworkOperator) -> bool:
    """Whether an operator without weights is like its match where its size tells networks apart."""
    name = base(event.name)
    if name != base(operator.name) or name not in SIZED:
        return True
    theirs, ours = own_shapes(event, operator)[:1], operator.shapes[:1]
    same = theirs == ours or not theirs or not ours
    return same and unlike_setting(event.settings, operator.settings) is None


def has_weights_of(event: Event, operator: NetworkOperator) -> bool:
    """Whether both work with weights of the same shape, on inputs of whatever size.

    Forward passes of another batch or of another number of tokens do.
    """
    if family(event.name) != family(operator.name) or base(event.name) != base(operator.name):
        return False
    at = weight_at(event.name)
    theirs, ours = own_shapes(event, operator)[at : at + 1], operator.shapes[at : at + 1]
    return bool(theirs) and theirs == ours


def weight_at(name: str) -> int:
    """Which input of an operator is its weight."""
    return WEIGHT_AT.get(base(name), 1)


WEIGHT_AT = {
    "embedding": 0, "embedding_bag": 0, "_embedding_bag": 0, "layer_norm": 2, "group_norm": 2,
    "rms_norm": 2, "addmm": 2,
}  # fmt: skip
"""Where it is not the second one."""


def described(event: Event | None, operator: NetworkOperator) -> tuple[str, str]:
    """Both operators, by weight where that differs, else by input."""
    ours = base(operator.name)
    if event is None:
        return "no more", ours
    theirs = base(event.name)
    if not event.shapes or family(theirs) != family(ours):
        return theirs, ours
    shapes = own_shapes(event, operator)
    weight, input = (0, 1) if family(event.name).startswith("embedding") else (1, 0)
    unlike = unlike_setting(event.settings, operator.settings)
    if unlike is not None and shapes[:2] == operator.shapes[:2]:
        setting, one, other = unlike
        return f"{theirs} with {setting} {one}", f"{ours} with {setting} {other}"
    same = shapes[weight : weight + 1] == operator.shapes[weight : weight + 1]
    place, word = (input, "on ") if same else (weight, "")
    return (
        f"{theirs} {word}{_text(shapes, place)}",
        f"{ours} {word}{_text(operator.shapes, place)}",
    )


def _text(shapes: Shapes, place: int) -> str:
    return shape_text(shapes[place]) if place < len(shapes) else ""


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
