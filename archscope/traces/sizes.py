"""How many elements a trace's elementwise kernels work on: evidence where no shapes were recorded.

PyTorch's `vectorized_elementwise_kernel<V, …>` gives each block of b threads b × max(V, 4) elements
(aten/src/ATen/native/cuda/CUDALoops.cuh), so that the number of blocks tells the number of elements
but for the last block.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from archscope.parameters import parameter
from archscope.traces.events import Event, Kernel, Trace
from archscope.traces.families import base
from archscope.traces.join import Launches
from archscope.traces.network import NetworkOperator
from archscope.traces.search import MismatchError

VECTORIZED = re.compile(r"vectorized_elementwise_kernel<(\d+),")
PER_THREAD = 4

SAME_SIZE = frozenset({
    "relu", "relu_", "add", "add_", "mul", "mul_", "gelu", "silu", "silu_", "sigmoid", "sigmoid_",
    "tanh", "tanh_", "hardswish", "hardswish_", "leaky_relu", "leaky_relu_", "elu", "elu_",
})  # fmt: skip
"""Elementwise operators whose result is as large as their largest input."""


@dataclass(frozen=True, slots=True)
class Size:
    """Elements that an operator's kernel works on: more than `least`, at most `most`."""

    operator: NetworkOperator
    least: int
    most: int


def sizes(trace: Trace, matched: Sequence[tuple[Event, NetworkOperator]]) -> Iterator[Size]:
    """The matched elementwise operators whose size their one kernel tells."""
    kernels = _kernels(trace, (event for event, _ in matched))
    for event, operator in matched:
        launched = kernels.get(event, [])
        found = VECTORIZED.search(launched[0].name) if len(launched) == 1 else None
        if found is None or base(operator.name) not in SAME_SIZE or not launched[0].blocks:
            continue
        elements = launched[0].block * max(PER_THREAD, int(found[1]))
        yield Size(operator, elements * (launched[0].blocks - 1), elements * launched[0].blocks)


def _kernels(trace: Trace, operators: Iterable[Event]) -> dict[Event, list[Kernel]]:
    """The kernels launched inside each operator."""
    wanted = set(operators)
    launched_by = Launches(trace).operator
    found: dict[Event, list[Kernel]] = defaultdict(list)
    for kernel in trace.device:
        above = launched_by(kernel)
        while above is not None and above not in wanted:
            above = above.parent
        if above is not None and not kernel.is_copy:
            found[above].append(kernel)
    return found


def batch(found: Iterable[Size], samples: int, model: str, remedy: str) -> int | None:
    """The batch size that all sizes agree on; `None` where they leave several open.

    Args:
        found: with operators of the network.
        samples: how many these operators are of.
        model: name of the network, for messages.
        remedy: what to do where they do not agree.

    Raises:
        MismatchError: no batch size has all of these sizes.
    """
    least, most = 0.0, math.inf
    for number, size in enumerate(found):
        elements = _elements(size.operator) / samples
        least, most = max(least, size.least / elements), min(most, size.most / elements)
        if math.floor(most) <= least:
            problem = (
                f"is not what was traced: {size.operator}: the trace's kernel "
                f"works on {size.most} elements, which no batch of {model} has that agrees with "
                f"the kernels before it"
            )
            raise MismatchError(parameter("model", model), problem, remedy, number)
    candidates = range(math.floor(least) + 1, math.floor(most) + 1) if most < math.inf else []
    return candidates[0] if len(candidates) == 1 else None


def check(found: Iterable[Size], model: str, remedy: str) -> None:
    """Refuse a network whose operators are of another size than their kernels.

    Raises:
        MismatchError: naming the first of them.
    """
    for number, size in enumerate(found):
        elements = _elements(size.operator)
        if not size.least < elements <= size.most:
            problem = (
                f"is not what was traced: {size.operator}: the trace's kernel "
                f"works on {size.most} elements, {model} has {elements}"
            )
            raise MismatchError(parameter("model", model), problem, remedy, number)


def _elements(operator: NetworkOperator) -> int:
    return max((math.prod(shape) for shape in operator.shapes if shape), default=1)
