"""A trace file, and on request the network that it is of → Profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archscope.ask.target import Target
from archscope.ask.trace.aligned import of_network, trains
from archscope.ask.trace.device import data_sheets, device_facts, peaks_of
from archscope.errors import ArchscopeError
from archscope.measure.series import median_interval
from archscope.records import Analysis, Environment, InputSpec, Measurement, Profile
from archscope.traces import attribution, chrome, durations
from archscope.traces.attribution import Attribution
from archscope.traces.events import CALL, FOREIGN, MODULE, Trace
from archscope.traces.families import WEIGHTED, base, family
from archscope.traces.network import weight_at
from archscope.traces.rows import LayerTimes
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
    aligned = of_network(trace, network)
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
    if not any(row.total_seconds for row in table.rows):
        raise ArchscopeError(path, "holds no time of a step", "record whole steps")
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
            *_in_no_step(found),
            *_another_network(found, table),
            *([GOES_ON] if chrome.BEHIND in trace.facts else []),
            *_cost_of_recording(trace),
        ),
    )


def _in_no_step(found: Attribution) -> tuple[str, ...]:
    """The kernels that no row has, as those of loading a network before the first step."""
    steps = sum(credit.nanoseconds for credit in found.credits)
    rest = sum(kernel.end - kernel.start for kernel in found.trace.device) - steps
    if rest <= 0:
        return ()
    return (f"Kernels of {seconds(rest / 1e9)} in the file are in no step, and in no row.",)


def _cost_of_recording(trace: Trace) -> tuple[str, ...]:
    """What `record.py` found that its ranges and the profiler cost."""
    alone = float(trace.facts.get("step seconds", 0))
    recorded = float(trace.facts.get("recorded step seconds", 0))
    if not alone or not recorded:
        return ()
    if recorded <= alone:
        times = f"{seconds(alone)} without recording and {seconds(recorded)} with it"
        return (f"A step took {times}: recording costs less than steps vary.",)
    more = percent(recorded / alone - 1)
    return (f"A step took {seconds(alone)} without recording, and {more} longer with it.",)


GOES_ON = "What follows the end of the trace in the file was ignored."


def _phases(found: Attribution, table: LayerTimes) -> dict[str, Measurement]:
    """The steps as samples, and in training the passes that they consist of."""
    if not trains(found.trace):
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

    train = trains(trace)
    try:
        return analyse(network, backward=train, train=train)
    except ArchscopeError:
        return None


def _another_network(found: Attribution, table: LayerTimes) -> tuple[str, ...]:
    """What else has weights in the steps that the rows are of."""
    weighted = (
        event
        for event in found.trace.host
        if event.owner is FOREIGN and family(event.name) in WEIGHTED
    )
    event = next((e for e in weighted if found.steps.at(e.start) in table.numbers), None)
    if event is None:
        return ()
    weight = event.shapes[weight_at(event.name)] if len(event.shapes) > 1 else ()
    first = f"{base(event.name)} {'×'.join(map(str, weight))}".strip()
    return (
        f"{FOREIGN.name} has weights that no layer of this one has, such as {first}; name that "
        f"network as the model to see its layers.",
    )
