"""A trace file, and on request the network that it is of → Profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from archscope.ask.network.call import with_batch
from archscope.ask.network.inputs import Tensors
from archscope.ask.target import Target
from archscope.ask.trace.device import data_sheets, device_facts, peaks_of
from archscope.errors import ArchscopeError
from archscope.measure.series import median_interval
from archscope.parameters import parameter
from archscope.records import Analysis, Dim, Environment, InputSpec, Measurement, Profile
from archscope.traces import alignment, attribution, chrome, durations, forward, sizes
from archscope.traces.attribution import Attribution
from archscope.traces.events import CALL, FOREIGN, MODULE, Event, Trace
from archscope.traces.families import WEIGHTED, base, family
from archscope.traces.nesting import is_node
from archscope.traces.network import NetworkOperator, weight_at
from archscope.traces.passes import Alignment
from archscope.traces.rows import LayerTimes
from archscope.traces.search import MismatchError
from archscope.units import percent, seconds

UNKNOWN_MODEL = "the traced network"


@dataclass(frozen=True)
class Traced:
    """A trace with its owners, and its Profile."""

    attribution: Attribution
    profile: Profile


def traced(
    path: str,
    network: Target | None = None,
    *,
    peaks: Mapping[str, float] | None = None,
    progress: chrome.Progress = lambda share: None,
) -> Traced:
    """Read a trace that torch.profiler wrote, and say which layers its time goes to.

    Args:
        path: of the file.
        network: what was traced, of the batch that the trace tells where none is given; without
            it layers are known where the file names modules.
        peaks: flop/s by dtype and bytes/s under `copy`, in place of the data sheet's.
        progress: called with the share of the file that was read.

    Raises:
        ArchscopeError: the file cannot be read, or the trace is not of this network.
    """
    trace = chrome.read(path, progress)
    if network is None:
        found = attribution.attribute(trace)
        return Traced(found, _profile(path, found, _root(trace), InputSpec(()), peaks))
    aligned = _of_network(trace, network)
    found, called = aligned.attribution, aligned.network
    assert called.found is not None and isinstance(called.input, InputSpec)
    profile = _profile(path, found, called.found.name, called.input, peaks)
    profile = replace(
        profile,
        keywords=called.found.keywords,
        analysis=_count(trace, called),
        notes=(*profile.notes, *aligned.notes),
        environment=replace(profile.environment, facts=profile.environment.facts + aligned.facts),
    )
    return Traced(found, profile)


def _profile(
    path: str,
    found: Attribution,
    model: str,
    input: InputSpec,
    peaks: Mapping[str, float] | None,
) -> Profile:
    trace, table = found.trace, found.times()
    sheets = data_sheets(trace)
    facts = device_facts(trace, found.credits, sheets)
    rates = peaks_of(facts, sheets, peaks or {})
    facts |= {"trace": Path(path).name, "steps": found.steps.rule}
    return Profile(
        model=model,
        input=input,
        environment=Environment("cuda" if trace.device else "cpu", tuple(facts.items())),
        phases=_phases(found, table),
        layers=table.rows,
        attributed=table.attributed,
        peaks=rates,
        notes=(
            *(f"{note[0].upper()}{note[1:]}." for note in table.notes),
            *_another_network(trace),
            *_cost_of_recording(trace),
        ),
    )


def _cost_of_recording(trace: Trace) -> tuple[str, ...]:
    """What `record.py` found that its ranges and the profiler cost."""
    alone = float(trace.facts.get("step seconds", 0))
    recorded = float(trace.facts.get("recorded step seconds", 0))
    if not alone or not recorded:
        return ()
    more = percent(recorded / alone - 1)
    return (f"A step took {seconds(alone)} without recording, and {more} longer with it.",)


def _phases(found: Attribution, table: LayerTimes) -> dict[str, Measurement]:
    """The steps as samples, and in training the passes that they consist of."""
    if not _trains(found.trace):
        return {"inference": _samples(table.steps)}
    passes = durations.of_passes(found.credits, table.numbers)
    return {
        **{phase: _samples(lengths) for phase, lengths in passes.items()},
        "step": _samples(table.steps),
    }


def _samples(nanoseconds: Sequence[int]) -> Measurement:
    samples = tuple(length / 1e9 for length in nanoseconds)
    low, high = median_interval(samples)
    return Measurement(samples, low, high)


def _trains(trace: Trace) -> bool:
    return any(is_node(event) for event in trace.host)


def _root(trace: Trace) -> str:
    """The class of the outermost module, where the file names modules."""
    for event in trace.host:
        if event.name.startswith(f"{CALL}|"):
            return event.name.removeprefix(f"{CALL}|")
        if event.name.startswith(MODULE):
            own = event.name.removeprefix(MODULE)
            return own.rpartition("_")[0] or own
    return UNKNOWN_MODEL


def _count(trace: Trace, network: Target) -> Analysis | None:
    from archscope.ask.count import analyse

    train = _trains(trace)
    try:
        return analyse(network, backward=train, train=train)
    except ArchscopeError:
        return None


@dataclass(frozen=True)
class _Aligned:
    """A trace with the owners that its network gives, and the network with its input."""

    attribution: Attribution
    network: Target
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def _of_network(trace: Trace, network: Target) -> _Aligned:
    from archscope.ask.trace.operators import network_operators

    subject, call = network.called()
    train = _trains(trace)
    fixed = isinstance(network.input, Tensors)
    single = call.spec if fixed else with_batch(call.spec, 1)
    called = replace(network, input=single, batch=None, found=subject)
    ran, *beside = forward.by_thread(trace) or [[]]
    compiled = forward.compiled_convolutions(trace)
    batch = network.batch
    if batch is None and not fixed:
        seen = [*ran, *(event for events in compiled.values() for event in events)]
        batch = _batch(trace, seen, network_operators(called, train), subject.name)
    called = _of_batch(called, batch)
    operators = network_operators(called, train)
    remedy = _remedy(ran, operators)
    align = partial(
        alignment.align,
        network=operators,
        model=subject.name,
        remedy=remedy,
        convolutions=compiled,
        boundaries=forward.boundaries(trace),
    )
    found = align(ran)
    if network.batch is not None:
        sizes.check(sizes.sizes(trace, found.matched), subject.name, remedy)
    replicas = [each for operators in beside if (each := _replica(align, operators)) is not None]
    owners = {event: call for each in (found, *replicas) for event, call in each.owners.items()}
    has_ranges = any(event.name.startswith(CALL) for event in trace.host)
    attributed = (
        attribution.attribute(trace)
        if has_ranges
        else attribution.attribute(trace, owners, found.passes, found.others)
    )
    is_unknown = batch is None and not fixed
    if replicas and isinstance(batch, int):
        called = _of_batch(called, batch * (1 + len(replicas)))
    return _Aligned(
        attributed,
        called,
        (
            *([REPLICAS.format(1 + len(replicas))] if replicas else []),
            *_several_passes(attributed, found),
            *([UNKNOWN_BATCH] if is_unknown else []),
        ),
        (("batch", "unknown"),) if is_unknown else (),
    )


UNKNOWN_BATCH = "The file does not tell the batch: MACs and roofs are of one sample."

REPLICAS = (
    "{} threads run the network at once, as DataParallel's do: rows and the batch add them up."
)


def _several_passes(found: Attribution, aligned: Alignment) -> tuple[str, ...]:
    """How many forward passes the usual step has, where it has several."""
    counts: list[int] = []
    for passes in ([*aligned.passes, *aligned.others], aligned.others):
        by_step = Counter(found.steps.at(start) for start, _ in passes)
        by_step.pop(None, None)
        counts.append(max(by_step.values(), default=0))
    number, others = counts
    if number < 2:
        return ()
    of_others = OTHER_SIZES.format(others) if others else ""
    return (f"A step runs the network {number} times (Call tells them apart){of_others}.",)


OTHER_SIZES = ", {} of them on inputs of other sizes, for which MACs and roofs are left out"


def _another_network(trace: Trace) -> tuple[str, ...]:
    """What else has weights in the trace."""
    event = next((e for e in trace.host if e.owner is FOREIGN and family(e.name) in WEIGHTED), None)
    if event is None:
        return ()
    weight = event.shapes[weight_at(event.name)] if len(event.shapes) > 1 else ()
    first = f"{base(event.name)} {'×'.join(map(str, weight))}".strip()
    return (
        f"{FOREIGN.name} has weights that no layer of this one has, such as {first}; name it with "
        f"{parameter('model')} to see its layers.",
    )


def _replica(
    align: Callable[[Sequence[Event]], Alignment], operators: Sequence[Event]
) -> Alignment | None:
    """The network in the operators of one more thread, which may do something else."""
    try:
        return align(operators)
    except MismatchError:
        return None


def _of_batch(network: Target, batch: Dim | None) -> Target:
    assert isinstance(network.input, InputSpec)
    return network if batch is None else replace(network, input=with_batch(network.input, batch))


def _batch(
    trace: Trace, ran: Sequence[Event], single: Sequence[NetworkOperator], model: str
) -> int | None:
    """The batch size that the trace tells, by the shapes of weighted operators or by sizes.

    Where an evaluation has another one, it is that of training, whose operators have numbers.
    """
    weighted = [operator for operator in single if family(operator.name) in WEIGHTED]
    for event in sorted(ran, key=lambda event: event.sequence < 0):
        for operator in weighted:
            ratio = _ratio(event, operator)
            if ratio is not None:
                return ratio
    if any(event.shapes for event in ran):
        return None
    found = alignment.align(ran, single, model, boundaries=forward.boundaries(trace))
    return sizes.batch(sizes.sizes(trace, found.matched), model, "name the network that was traced")


def _ratio(event: Event, operator: NetworkOperator) -> int | None:
    """How many times as many samples an operator of the trace has."""
    if family(event.name) != family(operator.name) or min(
        len(event.shapes), len(operator.shapes)
    ) < 2:  # fmt: skip
        return None
    input, weight = (1, 0) if family(event.name).startswith("embedding") else (0, 1)
    if event.shapes[weight] != operator.shapes[weight]:
        return None
    theirs, ours = event.shapes[input], operator.shapes[input]
    if theirs[1:] != ours[1:] or not theirs or not ours or theirs[0] % ours[0]:
        return None
    return theirs[0] // ours[0]


def _remedy(ran: Sequence[Event], operators: Sequence[NetworkOperator]) -> str:
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
    return "name the network that was traced"
