"""Whether several passes before one backward pass are of one network, or of several alike.

Autograd adds up the gradient of a weight once in a backward pass, however often the weight was
used; of two networks with the same layers it adds up those of twice the weights.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence

from archscope.traces.events import Trace
from archscope.traces.forward import boundaries
from archscope.traces.nesting import ACCUMULATE, is_engine
from archscope.traces.network import NetworkOperator, weight_at


def networks(
    trace: Trace, network: Sequence[NetworkOperator], passes: Sequence[tuple[int, int]]
) -> int:
    """How many networks the first passes are of that no backward pass divides.

    Args:
        trace: nested.
        network: all its operators.
        passes: host times at which each forward pass starts and ends.

    Returns:
        1 too where the file does not tell it.
    """
    limits = sorted(boundaries(trace))
    together = [each for each in passes if not _divides(limits, passes[0][0], each[0])]
    if len(together) < 2:
        return 1
    last = together[-1][1]
    end = next((start for start, _ in passes if start > last), math.inf)
    gradients = Counter(
        event.shapes[0]
        for event in trace.host
        if ACCUMULATE in event.name
        and not is_engine(event)
        and event.shapes
        and last <= event.start < end
    )
    weights = Counter(_weights(network).values())
    return max(1, min((gradients[shape] // n for shape, n in weights.items()), default=1))


def _divides(limits: Sequence[int], start: int, end: int) -> bool:
    return bisect.bisect_right(limits, start) < bisect.bisect_left(limits, end)


def _weights(network: Sequence[NetworkOperator]) -> dict[str, tuple[int, ...]]:
    """The shapes of weights by the module that holds them; those of biases are alike."""
    found = {}
    for operator in network:
        shape = operator.shapes[weight_at(operator.name) :][:1]
        if operator.holder is not None and shape and len(shape[0]) > 1:
            found[operator.holder] = shape[0]
    return found
