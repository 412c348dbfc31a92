"""A trace file, and on request the network that it is of → Profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archscope.ask.trace.device import device_facts, peaks_of
from archscope.errors import ArchscopeError
from archscope.measure.series import median_interval
from archscope.records import Analysis, Dim, Environment, InputSpec, Measurement, Profile
from archscope.traces import alignment, attribution, chrome, sizes
from archscope.traces.alignment import Alignment, NetworkOperator
from archscope.traces.attribution import Attribution
from archscope.traces.events import CALL, MODULE, Event, Trace
from archscope.traces.families import WEIGHTED, family
from archscope.traces.nesting import is_node
from archscope.traces.rows import LayerTimes

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target

UNKNOWN_MODEL = "the traced network"


@dataclass(frozen=True)
class Traced:
    """A trace with its owners, and its Profile."""

    attribution: Attribution
    profile: Profile


def traced(
    path: str,
    target: Target | None = None,
    *,
    peaks: Mapping[str, float] | None = None,
    progress: chrome.Progress = lambda share: None,
) -> Traced:
    """Read a trace that torch.profiler wrote, and say which layers its time goes to.

    Args:
        path: of the file.
        target: the network that was traced, with its call; its batch is what the trace tells when
            `None`. Without it layers are known where the file names modules.
        peaks: flop/s by dtype and bytes/s under `copy`, in place of the data sheet's.
        progress: called with the share of the file that was read.

    Raises:
        ArchscopeError: the file cannot be read, or the trace is not of this network.
    """
    trace = chrome.read(path, progress)
    if target is None:
        found = attribution.attribute(trace)
        name, spec, analysis = _root(trace), InputSpec(()), None
        keyword_texts: tuple[tuple[str, str], ...] = ()
    else:
        subject = target.subject()
        found, spec = _of_network(trace, path, target, subject)
        analysis = _count(replace(target, input=spec, batch=None, found=subject), _trains(trace))
        name, keyword_texts = subject.name, subject.keywords
    table = found.times()
    facts = device_facts(trace, found.credits)
    rates = peaks_of(facts, peaks or {})
    profile = Profile(
        model=name,
        input=spec,
        environment=Environment(
            "cuda" if trace.device else "cpu",
            (*facts.items(), ("trace", Path(path).name), ("steps", found.steps.rule)),
        ),
        phases=_phases(trace, table),
        layers=table.rows,
        attributed=table.attributed,
        peaks=rates,
        keywords=keyword_texts,
        analysis=analysis,
        notes=tuple(f"{note[0].upper()}{note[1:]}." for note in table.notes),
    )
    return Traced(found, profile)


def _phases(trace: Trace, table: LayerTimes) -> dict[str, Measurement]:
    """The steps as samples of one phase."""
    seconds = tuple(length / 1e9 for length in table.steps)
    low, high = median_interval(seconds)
    phase = "step" if _trains(trace) else "inference"
    return {phase: Measurement(seconds, low, high)}


def _trains(trace: Trace) -> bool:
    return any(is_node(event) for event in trace.host)


def _root(trace: Trace) -> str:
    """The class of the outermost module, where the file names modules."""
    for event in trace.host:
        if event.name.startswith(MODULE):
            own = event.name.removeprefix(MODULE)
            return own.rpartition("_")[0] or own
    return UNKNOWN_MODEL


def _count(target: Target, train: bool) -> Analysis | None:
    from archscope.ask.count import analyse

    try:
        return analyse(target, backward=train, train=train)
    except ArchscopeError:
        return None


def _of_network(
    trace: Trace, path: str, target: Target, subject: Subject
) -> tuple[Attribution, InputSpec]:
    """Align a trace with its network, and what the network was called with."""
    from archscope.ask.network.call import network_call, with_batch
    from archscope.ask.trace.operators import network_operators

    batch = _number(target.batch)
    spec = network_call(subject, target.input, 1).spec
    train = _trains(trace)
    if any(event.name.startswith(CALL) for event in trace.host):
        return attribution.attribute(trace), with_batch(spec, batch or 1)
    forward = alignment.forward_operators(trace)
    single = network_operators(subject, network_call(subject, spec, None), train)
    told = batch if batch is not None else _batch(trace, forward, single, subject.name)
    spec = with_batch(spec, told or 1)
    operators = network_operators(subject, network_call(subject, spec, None), train)
    remedy = _remedy(forward, operators)
    found = alignment.align(forward, operators, subject.name, remedy)
    if batch is not None:
        sizes.check(sizes.sizes(trace, found.matched), subject.name, remedy)
    return attribution.attribute(trace, found.owners, found.passes), spec


def _number(batch: Dim | None) -> int | None:
    """A batch size that a trace can have.

    Raises:
        ArchscopeError: it is a symbol.
    """
    if isinstance(batch, str):
        raise ArchscopeError("--batch", f"{batch} is a symbol", "give a number")
    return batch


def _batch(
    trace: Trace, forward: Sequence[Event], single: Sequence[NetworkOperator], model: str
) -> int | None:
    """The batch size that the trace tells: by the first weighted operator's shapes, or by sizes."""
    first = next((op for op in single if family(op.name) in WEIGHTED), None)
    if first is None:
        return None
    for event in forward:
        ratio = _ratio(event, first)
        if ratio is not None:
            return ratio
    if any(event.shapes for event in forward):
        return None
    found: Alignment = alignment.align(forward, single, model)
    return sizes.batch(sizes.sizes(trace, found.matched), model, "name the network that was traced")


def _ratio(event: Event, operator: NetworkOperator) -> int | None:
    """How many times as many samples an operator of the trace has."""
    if event.name != operator.name or len(event.shapes) < 2 or len(operator.shapes) < 2:
        return None
    input, weight = (1, 0) if family(event.name).startswith("embedding") else (0, 1)
    if event.shapes[weight] != operator.shapes[weight]:
        return None
    theirs, ours = event.shapes[input], operator.shapes[input]
    if theirs[1:] != ours[1:] or not ours or theirs[0] % ours[0]:
        return None
    return theirs[0] // ours[0]


def _remedy(forward: Sequence[Event], operators: Sequence[NetworkOperator]) -> str:
    """The input that the trace tells, where the first weighted operator takes another."""
    first = next((op for op in operators if family(op.name) in WEIGHTED), None)
    for event in forward:
        if first is None or event.name != first.name or not event.shapes:
            continue
        if event.shapes[1:2] == first.shapes[1:2] and event.shapes[0] != first.shapes[0]:
            batch, *sides = event.shapes[0]
            input = "x".join(map(str, sides))
            return f"the trace has --input {input} --batch {batch}"
        break
    return "name the network that was traced"


def renamed(profile: Profile, name: str) -> Profile:
    """The same under another name, where two are compared."""
    return replace(profile, model=name)
