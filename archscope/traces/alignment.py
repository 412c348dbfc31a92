"""A trace's forward operators ↔ those of a network that was counted, in the order that both run.

Operators with weights decide: they must be the same, one after the other, with the same shapes
where the trace has shapes.
What is between two of them is matched by name, and what then has no match belongs to the
innermost module that runs all around it.
Passes on inputs of other sizes, as of evaluation or of single tokens, are known by their weights.
A graph that torch.compile made stands for any number of operators, and so does attention's fused
operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from archscope.parameters import parameter
from archscope.traces.compiled import Graph
from archscope.traces.events import Event
from archscope.traces.families import FREE, WEIGHTED, base, family
from archscope.traces.forward import is_compiled, stands_for_many
from archscope.traces.network import NetworkOperator, has_size_of, has_weights_of
from archscope.traces.passes import Alignment, Pass
from archscope.traces.search import MismatchError, Search, unlike_operators
from archscope.traces.unlike import first_unlike


def align(
    forward: Sequence[Event],
    network: Sequence[NetworkOperator],
    model: str,
    remedy: str = "",
    graphs: Mapping[Event, Graph] | None = None,
    boundaries: Sequence[int] = (),
) -> Alignment:
    """Match every forward pass of the network.

    Args:
        forward: of the trace, see `forward_operators`.
        network: all its operators in order.
        model: name of the network, for messages.
        remedy: what to do where they differ.
        graphs: compiled, see `compiled.graphs`.
        boundaries: host times at which no forward pass goes on, see `boundaries`.

    Raises:
        MismatchError: no forward pass in the trace is this network's.
    """
    anchors = [i for i, operator in enumerate(network) if family(operator.name) in WEIGHTED]
    anchors = anchors or [i for i, op in enumerate(network) if base(op.name) not in FREE]
    kinds = {family(network[i].name) for i in anchors}
    kinds |= WEIGHTED if kinds & WEIGHTED else set()
    text = [i for i, e in enumerate(forward) if stands_for_many(e) or family(e.name) in kinds]
    run = partial(Search, forward, network, anchors, graphs=graphs or {},
                  boundaries=boundaries)  # fmt: skip
    search = run(text=text)
    found = Alignment()
    rest = _passes(search, text, forward, network, found)
    if not found.passes:
        named = _by_name(forward, network[anchors[0] :], search.furthest, model, remedy)
        raise named or search.difference(model, remedy)
    _check_sizes(found, model, remedy)
    _check_rest(forward, text, network[anchors[0] :], found, model, remedy)
    others = Alignment(matched=found.matched)
    for part in rest:
        _passes(run(text=part, alike=has_weights_of), part, forward, network, others)
    found.owners |= others.owners
    found.others = others.passes
    return found


def _passes(
    search: Search,
    text: Sequence[int],
    forward: Sequence[Event],
    network: Sequence[NetworkOperator],
    found: Alignment,
) -> list[list[int]]:
    """Note every forward pass; the result are the positions before, between and behind them."""
    rest: list[list[int]] = [[]]
    position = 0
    while position < len(text):
        end = search.run(position)
        if end is None:
            rest[-1].append(text[position])
            position += 1
            continue
        if search.pairs:
            span = text[position], text[end - 1]
            Pass(forward, network, search.pairs, span).fill(found)
        else:  # compiled as a whole
            around = [forward[text[at]] for at in range(position, end)]
            found.passes.append((around[0].start, around[-1].end))
        rest.append([])
        position = end
    return rest


def _by_name(
    forward: Sequence[Event],
    network: Sequence[NetworkOperator],
    start: int | None,
    model: str,
    remedy: str,
) -> MismatchError | None:
    """The first difference of all operators, where a trace without shapes has names alone.

    Args:
        forward: of the trace.
        network: from its first operator that is compared.
        start: position in the trace of the operator that is compared with it.
        model: name of the network, for messages.
        remedy: what to do where they differ.
    """
    if start is None or any(event.shapes for event in forward):
        return None
    differs = first_unlike(forward[start:], network)
    if differs is None:
        return None
    event, operator = differs
    return unlike_operators(event, operator, model, remedy, operator.number - 1)


def _check_sizes(found: Alignment, model: str, remedy: str) -> None:
    """Refuse a network whose attention or pooling is of another size.

    Raises:
        MismatchError: naming the first of them.
    """
    for number, (event, operator) in enumerate(found.matched):
        if not has_size_of(event, operator):
            raise unlike_operators(event, operator, model, remedy, number)


def _check_rest(
    forward: Sequence[Event],
    text: Sequence[int],
    network: Sequence[NetworkOperator],
    found: Alignment,
    model: str,
    remedy: str,
) -> None:
    """Refuse a part of what was traced, where names alone decide.

    Raises:
        MismatchError: the trace goes on where the network ends.
    """
    if any(event.shapes for event in forward):
        return
    first = found.passes[0][0]
    for position in text:
        event = forward[position]
        if event not in found.owners and not is_compiled(event):
            differs = _by_name(forward, network, text[0], model, remedy)
            if differs is not None:
                raise differs
            when = "before the first" if event.start < first else "behind the last"
            problem = (
                f"is not what was traced: the trace has {base(event.name)} {when} operator of "
                f"{model}"
            )
            raise MismatchError(parameter("model", model), problem, remedy, len(found.matched))
