"""Operators without weights that a trace and a network do not share: another activation, a sum.

Operators with weights decide whether a trace is of a network; the others differ between releases of
PyTorch as well, so that what differs there is shown to the user, who knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, pairwise, zip_longest

from archscope.traces.events import Event
from archscope.traces.families import FREE, base, family
from archscope.traces.forward import stands_for_many
from archscope.traces.network import NetworkOperator

PREPARING = frozenset({
    "fill_", "zero_", "copy_", "index_put_", "scalar_tensor", "full", "full_like", "zeros_like",
    "ones_like", "arange", "new_zeros", "new_ones", "new_full", "new_empty",
})  # fmt: skip
"""Operators that make constants such as masks, which a network without memory makes otherwise."""


def _works(operator: Event | NetworkOperator) -> bool:
    return base(operator.name) not in FREE | PREPARING


@dataclass(frozen=True, slots=True)
class Unlike:
    """What the trace and the network have in one place; `None` for nothing.

    Args:
        before: the network's last operator before it.
    """

    event: Event | None
    operator: NetworkOperator | None
    before: NetworkOperator

    def text(self, model: str) -> str:
        """`operator 5 (layer1.0.relu): the trace has gelu, resnet50 has relu`."""
        theirs = "nothing" if self.event is None else base(self.event.name)
        ours = "nothing" if self.operator is None else base(self.operator.name)
        place = f"behind {self.before}" if self.operator is None else str(self.operator)
        return f"{place}: the trace has {theirs}, {model} has {ours}"


def unlike(
    forward: Sequence[Event],
    network: Sequence[NetworkOperator],
    anchors: Sequence[tuple[int, int]],
) -> list[Unlike]:
    """What differs in a forward pass whose operators with weights are matched.

    Args:
        forward: operators of the trace.
        network: all its operators in order.
        anchors: positions of the matched operators in the trace and in the network.
    """
    found: list[Unlike] = []
    for (a, i), (b, j) in pairwise(anchors):
        theirs = forward[a + 1 : b]
        if not any(map(stands_for_many, theirs)):
            found += _between(theirs, network[i:j])
    return found + _behind(forward, network, anchors[-1])


def first_unlike(
    forward: Sequence[Event], network: Sequence[NetworkOperator]
) -> tuple[Event | None, NetworkOperator] | None:
    """The first operator of another name, where names are all that is known.

    `None` where there is none, or what runs there stands for many operators.

    Args:
        forward: operators of the trace from the beginning of a forward pass.
        network: all its operators from the same one.
    """
    events = (event for event in forward if _works(event))
    operators = [operator for operator in network if _works(operator)]
    for operator, event in zip_longest(operators, islice(events, len(operators))):
        if event is not None and stands_for_many(event):
            return None
        if event is None or family(event.name) != family(operator.name):
            return event, operator
    return None


def _between(theirs: Sequence[Event], ours: Sequence[NetworkOperator]) -> list[Unlike]:
    """What differs up to the next operator with weights; the first of ours is one that matched."""
    events = [event for event in theirs if _works(event)]
    first, *operators = (op for op in ours if op is ours[0] or _works(op))
    matcher = SequenceMatcher(
        None,
        [family(event.name) for event in events],
        [family(operator.name) for operator in operators],
        autojunk=False,
    )
    return [
        Unlike(event, operator, [first, *operators][i])
        for kind, a, b, i, j in matcher.get_opcodes()
        if kind != "equal"
        for event, operator in zip_longest(events[a:b], operators[i:j])
    ]


def _behind(
    forward: Sequence[Event], network: Sequence[NetworkOperator], last: tuple[int, int]
) -> list[Unlike]:
    """What the network ends with and the trace does not; what follows it there is the loss."""
    position, index = last
    operators = [op for op in network[index + 1 :] if _works(op)]
    events = [e for e in forward[position + 1 :] if _works(e)]
    return [
        Unlike(event, operator, network[index])
        for event, operator in zip_longest(events[: len(operators)], operators)
        if event is None or operator is None or family(event.name) != family(operator.name)
    ]
