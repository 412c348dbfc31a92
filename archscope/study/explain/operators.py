"""Elementwise work that one line cannot explain, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from archscope.records import Elementwise, Layer
from archscope.study.explain.steps import chain, number, prose, times
from archscope.table import Step

LABEL = "Elementwise"

_ATTENTION = "scaled_dot_product"
"""With what the names of its kernels begin."""

_WITH_BIAS = frozenset({"addmm", "baddbmm", "convolution"})
"""Products that add one term to each output."""


def unexplained(steps: Sequence[Step]) -> bool:
    """Whether elementwise work is a bare number, or several operators' as one multiple."""
    if any(step.label == "Residual adds" for step in steps):
        return False
    texts = [step.text for step in steps if step.label == LABEL]
    return any(" = " not in text or "·outputs" in text for text in texts)


def with_operators(
    layer: Layer, steps: Sequence[Step], runs: Sequence[Elementwise] | None
) -> list[Step]:
    """The steps with the elementwise work by operator, where the operators make up the number.

    Args:
        layer: whose work is unexplained.
        steps: its steps.
        runs: the elementwise operators of the call; `None` where the network cannot be run.
    """
    at = next(place for place, step in enumerate(steps) if step.label == LABEL)
    if runs is None:
        note = prose("Operators", "not in the record; explain of the network itself lists them.")
        listed = [steps[at], *([] if " = " in steps[at].text else [note])]
    elif sum(run.operations for run in runs) == layer.elementwise:
        listed = _by_operator(layer, runs)
    else:  # a run that went another way explains nothing
        listed = [steps[at]]
    return [*steps[:at], *listed, *steps[at + 1 :]]


def _by_operator(layer: Layer, runs: Sequence[Elementwise]) -> list[Step]:
    """One line for equal runs of an operator, in their order, then the sum."""
    groups = Counter(runs)
    steps = [_line(run, count) for run, count in groups.items()]
    if len(groups) == 1:
        return steps
    parts = " + ".join(number(count * run.operations) for run, count in groups.items())
    return [*steps, chain(LABEL, parts, number(layer.elementwise))]


def _line(run: Elementwise, count: int) -> Step:
    rule, values = _rule(run)
    name = run.name.removesuffix("_with_indices").removeprefix("native_")
    if name.startswith(_ATTENTION):
        name = f"{_ATTENTION}_attention"
    again: list[int] = [count] if count > 1 else []
    sides = [times(*again, rule), times(*again, *values)] if values else []
    if not values and again:
        sides = [times(*again, number(run.operations))]
    return chain(f"{LABEL}, {name}", *sides, number(count * run.operations))


def _rule(run: Elementwise) -> tuple[str, tuple[int, ...]]:
    """What the operations are one of each of, and how many that makes; nothing where unclear."""
    results, read = prod(run.result), prod(run.read)
    spatial = len(run.result) - 2
    window = run.window * spatial if len(run.window) == 1 else run.window
    if "pool" in run.name and results * prod(window) == run.operations > results:
        return "outputs·window", (*run.result, *window)
    if run.name.startswith(_ATTENTION) and len(run.read) == 4:
        queries = prod(run.read[:-1])
        keys = run.operations // (2 * queries)  # scores are scaled, and then their softmax
        if 2 * queries * keys == run.operations:
            return "2·N·heads·L·S", (2, *run.read[:-1], keys)
    if results == run.operations:
        return "bias terms" if run.name in _WITH_BIAS else "outputs", run.result or (1,)
    if read == run.operations:
        return "inputs", run.read or (1,)
    return "", ()
