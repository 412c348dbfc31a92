"""The batch that a trace tells, by the shapes of its operators or the sizes of its kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archscope.parameters import parameter
from archscope.traces import alignment, compiled, forward, sizes
from archscope.traces.events import Event, Trace
from archscope.traces.families import WEIGHTED, family
from archscope.traces.network import NetworkOperator, own_shapes

ANOTHER = "name the network that was traced"
"""What to do where nothing better is known."""


def traced_batch(
    trace: Trace, operators: Sequence[NetworkOperator], samples: int, model: str
) -> int | None:
    """The batch that the shapes of operators with weights tell, or the sizes of kernels.

    Where an evaluation has another one, it is that of training, whose operators have numbers.

    Args:
        trace: nested.
        operators: of the network.
        samples: how many these operators are of.
        model: name of the network, for messages.

    Returns:
        `None` where the trace does not tell it.

    Raises:
        MismatchError: no batch of the network is what was traced.
    """
    ran = forward.forward_operators(trace)
    graphs = compiled.graphs(trace).values()
    seen = [*ran, *(event for each in graphs for event in (*each.convolutions, *each.products))]
    weighted = [operator for operator in operators if family(operator.name) in WEIGHTED]
    for event in sorted(seen, key=lambda event: event.sequence < 0):
        for operator in weighted:
            found = _samples(event, operator, samples)
            if found is not None:
                return found
    if any(event.shapes for event in seen):
        return None
    boundaries = forward.boundaries(trace)
    aligned = alignment.align(ran, operators, model, ANOTHER, boundaries=boundaries)
    return sizes.batch(sizes.sizes(trace, aligned.matched), samples, model, ANOTHER)


def _samples(event: Event, operator: NetworkOperator, samples: int) -> int | None:
    """How many samples an operator of the trace has, where the network's has so many."""
    if family(event.name) != family(operator.name) or min(
        len(event.shapes), len(operator.shapes)
    ) < 2:  # fmt: skip
        return None
    input, weight = (1, 0) if family(event.name).startswith("embedding") else (0, 1)
    shapes = own_shapes(event, operator)
    if shapes[weight] != operator.shapes[weight]:
        return None
    theirs, ours = shapes[input], operator.shapes[input]
    if len(theirs) == 2 < len(ours):  # a graph's matrix product, whose rows are one side
        ours = (math.prod(ours[:-1]), ours[-1])
    if theirs[1:] != ours[1:] or not theirs or not ours or samples * theirs[0] % ours[0]:
        return None
    return samples * theirs[0] // ours[0]


def remedy(ran: Sequence[Event], operators: Sequence[NetworkOperator]) -> str:
    """The input that the trace tells, where the first weighted operator takes another."""
    first = next((op for op in operators if family(op.name) in WEIGHTED), None)
    for event in ran:
        if first is None or event.name != first.name or not event.shapes:
            continue
        is_lookup = family(event.name).startswith("embedding")
        input_at, weight_at = (1, 0) if is_lookup else (0, 1)
        theirs, ours = event.shapes, first.shapes
        if min(len(theirs), len(ours)) < 2 or not theirs[input_at]:
            break
        if theirs[weight_at] == ours[weight_at] and theirs[input_at] != ours[input_at]:
            batch, *sides = theirs[input_at]
            input = "x".join(map(str, sides)) + ":int64" * is_lookup
            return f"the trace has {parameter('input', input)} and {parameter('batch', batch)}"
        break
    return ANOTHER
