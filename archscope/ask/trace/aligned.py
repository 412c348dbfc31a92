"""A trace whose file names no modules → its layers, by the operators of the network."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from archscope.ask.network.call import with_batch
from archscope.ask.network.inputs import Tensors
from archscope.ask.target import Target
from archscope.ask.trace.batch import remedy, traced_batch
from archscope.errors import ArchscopeError
from archscope.records import Dim, InputSpec
from archscope.traces import alignment, attribution, compiled, forward, scripted, sizes, twins
from archscope.traces.attribution import Attribution
from archscope.traces.compiled import Graph
from archscope.traces.events import CALL, Event, Trace
from archscope.traces.families import base
from archscope.traces.nesting import is_node
from archscope.traces.network import NetworkOperator
from archscope.traces.passes import Alignment
from archscope.traces.search import MismatchError
from archscope.units import plural


@dataclass(frozen=True)
class Aligned:
    """A trace with the owners that its network gives, and the network with its input."""

    attribution: Attribution
    network: Target
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def trains(trace: Trace) -> bool:
    """Whether the trace has a backward pass."""
    return any(is_node(event) for event in trace.host)


def of_network(trace: Trace, network: Target) -> Aligned:
    """Match the trace's forward operators with the network's.

    Args:
        trace: as read.
        network: of the batch that the trace tells where none is given.

    Raises:
        ArchscopeError: the trace is not of this network.
    """
    from archscope.ask.trace.operators import network_operators

    called, samples, known = _with_batch(trace, network)
    assert called.found is not None
    model, train = called.found.name, trains(trace)
    operators = network_operators(called, train)
    ran, *beside = forward.by_thread(trace) or [[]]
    folded = scripted.folds_normalisation(ran, operators)
    operators = scripted.without_normalisation(operators) if folded else operators
    graphs = compiled.graphs(trace)
    otherwise = remedy(ran, operators)
    align = partial(
        alignment.align,
        network=operators,
        model=model,
        remedy=otherwise,
        graphs=graphs,
        boundaries=forward.boundaries(trace),
    )
    found = align(ran)
    if network.batch is not None:
        sizes.check(sizes.sizes(trace, found.matched), model, otherwise)
    replicas = [each for operators in beside if (each := _replica(align, operators)) is not None]
    if replicas and known and isinstance(called.input, InputSpec):
        called = _of_batch(called, samples * (1 + len(replicas)))
    attributed = _attributed(trace, found, replicas)
    passes, others = _in_a_step(attributed, found.passes), _in_a_step(attributed, found.others)
    notes = (
        *([REPLICAS.format(1 + len(replicas))] if replicas else []),
        *_without_shapes(trace, found),
        *_undivided(graphs.values(), operators),
        *([FOLDED] if folded else []),
        *_unlike(found, model),
        *_several(passes, others, twins.networks(trace, operators, found.passes)),
        *_untrained(attributed, (*found.passes, *found.others)),
        *([] if known else [UNKNOWN_BATCH.format(plural(samples, "sample"))]),
    )
    facts = [("passes", str(passes))] if passes > 1 else []
    facts += [] if known else [("batch", "unknown")]
    return Aligned(attributed, called, notes, tuple(facts))


UNKNOWN_BATCH = "The file does not say the batch size: MACs and roofs are those of {}."


def _without_shapes(trace: Trace, found: Alignment) -> tuple[str, ...]:
    """What was compared where the file does not have shapes."""
    if any(event.shapes for event in trace.host):
        return ()
    by_blocks = any(True for _ in sizes.sizes(trace, found.matched))
    compared = "by name and order" + (", and by the blocks of their kernels" if by_blocks else "")
    return (f"The file has no shapes: operators were compared {compared}.",)


def _undivided(graphs: Collection[Graph], operators: Sequence[NetworkOperator]) -> tuple[str, ...]:
    """What to know where compiled graphs show all samples' tokens together."""
    by_token = any(
        base(operator.name) == "linear" and len(operator.shapes[0]) > MATRIX
        for operator in operators
        if operator.shapes
    )
    if not graphs or not by_token or any(each.inputs or each.attention for each in graphs):
        return ()
    return (UNDIVIDED,)


MATRIX = 2
"""Dimensions of an input whose first one alone is not channels."""

UNDIVIDED = (
    "Compiled graphs show how many tokens there are, not how these are divided into samples: the "
    "input and the batch are taken as they were given."
)


FOLDED = (
    "The trace is of TorchScript without batch normalisation: it is taken as folded into the "
    "convolutions before it."
)


def _unlike(found: Alignment, model: str) -> tuple[str, ...]:
    """What to know of a trace whose operators without weights are not all the network's."""
    if not found.unlike:
        return ()
    number = plural(len(found.unlike), "operator")
    return (f"{number} without weights did not match; the first: {found.unlike[0].text(model)}.",)


REPLICAS = (
    "{} threads run the network at once, as DataParallel's do: rows and the batch add them up."
)


def _with_batch(trace: Trace, network: Target) -> tuple[Target, int, bool]:
    """The network with its input, the samples in it, and whether anything says how many."""
    subject, call = network.called()
    called = replace(network, batch=None, found=subject)
    if isinstance(network.input, Tensors):
        return replace(called, input=call.spec), 1, True
    called = replace(called, input=call.spec)
    if isinstance(network.batch, int):
        return _of_batch(called, network.batch), network.batch, True
    samples, operators = _smallest(called, trains(trace))
    batch = traced_batch(trace, operators, samples, subject.name)
    return _of_batch(called, batch or samples), batch or samples, batch is not None


def _smallest(network: Target, train: bool) -> tuple[int, Sequence[NetworkOperator]]:
    """The operators of as few samples as the network takes, and how many these are.

    In training two are needed where normalisation is over one value a channel, as in Inception v3.
    """
    from archscope.ask.trace.operators import network_operators

    try:
        return 1, network_operators(_of_batch(network, 1), train)
    except ArchscopeError as error:
        try:
            return 2, network_operators(_of_batch(network, 2), train)
        except ArchscopeError:
            raise error from None


def _of_batch(network: Target, batch: Dim) -> Target:
    assert isinstance(network.input, InputSpec)
    return replace(network, input=with_batch(network.input, batch))


def _attributed(trace: Trace, found: Alignment, replicas: Sequence[Alignment]) -> Attribution:
    """The trace's own ranges go before what was aligned."""
    if any(event.name.startswith(CALL) for event in trace.host):
        return attribution.attribute(trace)
    owners = {event: call for each in (found, *replicas) for event, call in each.owners.items()}
    return attribution.attribute(trace, owners, found.passes, found.others)


def _in_a_step(found: Attribution, passes: Sequence[tuple[int, int]]) -> int:
    """How many of some forward passes a step has at most."""
    by_step = Counter(found.steps.at(start) for start, _ in passes)
    return max((number for step, number in by_step.items() if step is not None), default=0)


def _several(passes: int, others: int, networks: int) -> tuple[str, ...]:
    """What to know of a step with several forward passes."""
    if passes + others < 2:
        return ()
    if networks > 1:
        return (TWINS.format(networks),)
    of_others = OTHER_SIZES.format(others) if others else ""
    return (f"A step runs the network {passes + others} times (Call numbers them){of_others}.",)


def _untrained(found: Attribution, passes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """What to know of a training step with passes that no backward pass follows."""
    numbered = sorted(e.start for e in found.trace.host if e.sequence >= 0 and not is_node(e))
    without = [
        (start, end)
        for start, end in passes
        if bisect.bisect_left(numbered, start) == bisect.bisect_right(numbered, end)
    ]
    number = _in_a_step(found, without)
    if not numbered or not number or not trains(found.trace):
        return ()
    return (WITHOUT_GRADIENTS.format(number),)


WITHOUT_GRADIENTS = (
    "Forward passes without gradients in a step: {}. They are of an evaluation, or of another "
    "network with the same layers, such as a teacher: a trace does not distinguish the two."
)

TWINS = (
    "{0} networks with the same layers run in a step and share the rows (Call numbers them): the "
    "backward pass has gradients of {0} times the weights."
)

OTHER_SIZES = ", {} of them on inputs of other sizes, for which MACs and roofs are left out"


def _replica(
    align: Callable[[Sequence[Event]], Alignment], operators: Sequence[Event]
) -> Alignment | None:
    """The network in the operators of one more thread, which may do something else."""
    try:
        return align(operators)
    except MismatchError:
        return None
