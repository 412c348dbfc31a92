"""Explored networks → the data of one page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from archscope.ask.contenders import Contender
from archscope.ask.count import analyse
from archscope.ask.explored import Explored, explored
from archscope.ask.profile.roofline import layer_points, roofs
from archscope.ask.sweep.grid import Grid, Outcome, Point, as_text, target_at
from archscope.ask.target import Target
from archscope.page import Amount, Area, Dot, LiveMemory, Network, Page, Part, Roofline
from archscope.quantities import ACTIVATIONS, BYTES_MOVED, ELEMENTWISE, MACS, PARAMS
from archscope.records import Layer, MemoryPrediction, Prediction, Profile
from archscope.saved.record import Saved
from archscope.study.explain import derivation_of, with_children
from archscope.study.families import family_of
from archscope.study.graph import diagram
from archscope.study.memory import TENSOR_TITLES, beside_tensors, memory_title
from archscope.study.profile.headings import heading
from archscope.study.profile.roofline import above_roof, used_rates
from archscope.study.stages import labels
from archscope.study.tree import Group, grouped
from archscope.table import Report
from archscope.units import binary_bytes, ratio, seconds, si
from archscope.wording import (
    CONVENTION,
    OWN_WORK,
    call_title,
    coverage_note,
    network_title,
    shape_text,
)

COUNTED = (
    Amount(MACS.key, MACS.heading, MACS.unit, "forward"),
    Amount(MACS.key, MACS.heading, MACS.unit, "backward"),
    Amount(PARAMS.key, PARAMS.title, PARAMS.unit),
    Amount(ACTIVATIONS.key, ACTIVATIONS.title, ACTIVATIONS.unit),
    Amount(ELEMENTWISE.key, ELEMENTWISE.title, ELEMENTWISE.unit, "forward"),
    Amount(ELEMENTWISE.key, ELEMENTWISE.title, ELEMENTWISE.unit, "backward"),
    Amount(BYTES_MOVED.key, BYTES_MOVED.title, BYTES_MOVED.unit, "forward"),
    Amount(BYTES_MOVED.key, BYTES_MOVED.title, BYTES_MOVED.unit, "backward"),
)
SAVED = Amount("saved_bytes", "Saved for backward", "bytes")
MEASURED = (
    Amount("measured_seconds", "Measured time", "seconds", "forward"),
    Amount("measured_seconds", "Measured time", "seconds", "backward"),
)


def page(
    title: str, answer: str, networks: Sequence[Explored], leading: Collection[Amount] = ()
) -> Page:
    """The data of a page.

    Args:
        title: names the networks.
        answer: one sentence that answers what was asked.
        networks: at least one; the others are compared with the first.
        leading: the amounts that come first, of which the page shows one when it opens.
    """
    amounts = tuple(sorted(_amounts(networks), key=lambda amount: amount not in leading))
    notes = [note for each in networks for note in _notes(each, several=len(networks) > 1)]
    made = tuple(_network(each, amounts) for each in networks)
    return Page(title, answer, amounts, made, (*dict.fromkeys(notes), CONVENTION))


PREDICTED = (
    Amount("predicted_seconds", "Predicted kernel time", "seconds", "forward"),
    Amount("predicted_seconds", "Predicted kernel time", "seconds", "backward"),
)


def with_page(
    report: Report,
    networks: Callable[[], Sequence[Explored]],
    answered: str | None = None,
    leading: Collection[Amount] = (),
    title: str = "",
) -> Report:
    """The same report, whose HTML file is a page.

    Args:
        report: of a count, a comparison, a profile or a prediction.
        networks: finds what the page explores, once it is written.
        answered: the sentence that the page begins with; what the networks cost when `None`.
        leading: the amounts that come first.
        title: of the page; the networks' labels when empty.
    """

    def made() -> Page:
        found = networks()
        named = title or " · ".join(each.label for each in found)
        return page(named, answered or answer(found), found, leading)

    return replace(report, page=made)


def with_comparison_page(
    report: Report, targets: Sequence[Target | Saved], chosen: Sequence[Contender]
) -> Report:
    """The report of a comparison with a page of its networks.

    Args:
        report: of the comparison.
        targets: what was named.
        chosen: what was found of each.
    """
    return with_page(
        report,
        lambda: [
            explored(target, found.analysis, label=found.label, profile=found.profile)
            for target, found in zip(targets, chosen, strict=True)
        ],
        report.answer if len(chosen) > 2 or any(found.profile for found in chosen) else None,
    )


MOST_POINTS = 4
"""Points of a sweep whose networks a page holds, all of which it draws."""


def with_sweep_page(report: Report, grid: Grid, outcomes: Sequence[Outcome]) -> Report:
    """The report of a sweep with a page of its networks.

    Of more than four points the page has the first, the last and two between them; its tables have
    all.

    Args:
        report: of the sweep.
        grid: what was swept.
        outcomes: of its points.
    """
    counted = {outcome.point for outcome in outcomes if outcome.total is not None}
    points = [point for point in grid.points if as_text(point) in counted]
    chosen = _spread(points, MOST_POINTS)

    def made() -> Page:
        found = []
        for point in chosen:
            target = target_at(grid, point)
            label = ", ".join(f"{key}={text}" for key, text in as_text(point))
            analysis = analyse(target, backward=grid.backward)
            found.append(explored(target, analysis, label=label))
        drawn = page(report.title, report.answer, found)
        if len(chosen) == len(points):
            return drawn
        note = f"{len(chosen)} of {len(points)} points are drawn; the table below lists all."
        return replace(drawn, notes=(note, *drawn.notes))

    return replace(report, page=made)


def _spread(points: Sequence[Point], most: int) -> list[Point]:
    """The first, the last and others at equal distances, each once."""
    if len(points) <= most:
        return [*points]
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def with_prediction_page(
    report: Report, targets: Sequence[Target], found: Sequence[Prediction]
) -> Report:
    """The report of predictions with a page of their networks.

    Args:
        report: of the predictions.
        targets: the network of each.
        found: the predictions.
    """
    return with_page(
        report,
        lambda: [
            explored(target, analyse(target), label=predicted_label(one, found), prediction=one)
            for target, one in zip(targets, found, strict=True)
        ],
        report.answer,
        PREDICTED,
        _predicted_title(found),
    )


def _predicted_title(found: Sequence[Prediction]) -> str:
    """The networks, and the devices where there are several, each once."""
    names = dict.fromkeys(network_title(each.model, each.keywords) for each in found)
    devices = dict.fromkeys(each.short_device for each in found)
    named = " · ".join(names)
    return f"{named} on {', '.join(devices)}" if len(devices) > 1 else named


def predicted_label(prediction: Prediction, others: Sequence[Prediction]) -> str:
    """What tells a prediction from the others: its network, its device, or both."""
    name = network_title(prediction.model, prediction.keywords)
    if len({other.device for other in others}) == 1:
        return name
    names = {network_title(other.model, other.keywords) for other in others}
    return f"{name} on {prediction.short_device}" if len(names) > 1 else prediction.short_device


def with_profile_page(report: Report, profiles: Sequence[Profile]) -> Report:
    """The report of profiles with a page of the last one that has layers and a count."""
    counted = [(p, p.analysis) for p in profiles if p.layers and p.analysis is not None][-1:]
    if not counted:
        return report
    return with_page(
        report,
        lambda: [explored(Saved(p.model, p), count, profile=p) for p, count in counted],
        report.answer,
    )


def answer(networks: Sequence[Explored]) -> str:
    """What the networks cost, in one sentence."""
    first = networks[0]
    if len(networks) == 1:
        return f"{first.label} on {first.analysis.input} takes {_costs(first)}."
    beside = "; ".join(_beside(first, other) for other in networks[1:])
    return f"{first.label} takes {_costs(first)}; {beside}."


def _costs(explored: Explored) -> str:
    total = explored.analysis.total
    least = "" if explored.analysis.coverage.complete else "at least "
    costs = [f"{least}{si(total.macs)} MACs", f"{si(total.params)} parameters"]
    if explored.memory is not None:
        costs.append(f"{binary_bytes(explored.memory.peak_bytes)} to train with plain SGD")
    return f"{', '.join(costs[:-1])} and {costs[-1]}"


def _beside(first: Explored, other: Explored) -> str:
    one, two = first.analysis.total, other.analysis.total
    shares = [
        f"{ratio(theirs / ours)} the {name}"
        for name, ours, theirs in (
            ("MACs", one.macs, two.macs), ("parameters", one.params, two.params),
        )
        if ours
    ]  # fmt: skip
    if first.memory is not None and other.memory is not None:
        shares.append(
            f"{ratio(other.memory.peak.allocated / first.memory.peak.allocated)} "
            "the training tensors"
        )
    return f"{other.label} takes {', '.join(shares)}"


def _notes(explored: Explored, several: bool) -> Iterator[str]:
    name = f"{explored.label}: " if several else ""
    for note in (*explored.analysis.notes, coverage_note(explored.analysis)):
        yield name + note
    if (predicted := explored.prediction) is not None:
        yield (
            f"Predicted kernel time: {predicted.mode} in {predicted.dtype} on {predicted.device}, "
            f"not measured; a whole step, with what the host needs, "
            f"{seconds(predicted.seconds)}. Fitted on {predicted.fitted_on}."
        )


def _amounts(networks: Sequence[Explored]) -> Iterator[Amount]:
    """What at least one network has, measured time first."""
    if any(each.profile is not None and each.profile.layers for each in networks):
        yield from MEASURED
    for amount in COUNTED:
        if amount.phase != "backward" or any(n.analysis.backward_traced for n in networks):
            yield amount
    if any(each.memory is not None and each.memory.saved for each in networks):
        yield SAVED
    timed = {
        row.direction for each in networks if each.prediction for row in each.prediction.layers
    }
    yield from (amount for amount in PREDICTED if amount.phase in timed)


def _network(explored: Explored, amounts: Sequence[Amount]) -> Network:
    return Network(
        explored.label,
        str(explored.analysis.input),
        tuple(_Parts(explored, amounts).found),
        None if explored.memory is None else _memory(explored.memory),
        None if explored.profile is None else _roofline(explored.profile),
        None if explored.graph is None else diagram(explored.graph),
    )


class _Parts:
    """The module calls of one network as parts, a parent before its children."""

    def __init__(self, explored: Explored, amounts: Sequence[Amount]) -> None:
        analysis, profile, memory = explored.analysis, explored.profile, explored.memory
        self.amounts, self.coverage = amounts, analysis.coverage
        self.symbolic = bool(analysis.input.symbols)
        self.stages = dict(zip(map(id, analysis.calls), labels(analysis), strict=True))
        self.children = {id(layer): inside for layer, inside in with_children(analysis)}
        rows = () if profile is None else profile.layers
        self.seconds = {(row.name, row.call): row.seconds for row in rows if row.in_network}
        layers_saved = () if memory is None else memory.saved
        self.saved = {(row.name, row.call): row.saved_bytes for row in layers_saved}
        self.predicted: dict[tuple[str, int, str], float] = defaultdict(float)
        for timed in () if explored.prediction is None else explored.prediction.layers:
            self.predicted[timed.name, timed.call, timed.direction] += timed.seconds
        self.found: list[Part] = []
        for group in grouped(analysis, unfold=True):
            self._add(group, -1)

    def _add(self, group: Group, parent: int) -> None:
        layer, own = group.layer, group.label == OWN_WORK
        works = not group.children
        name = call_title(layer.name, layer.kind, layer.call)
        self.found.append(
            Part(
                group.label,
                f"{name} {OWN_WORK}" if own else name,
                "" if own else layer.kind,
                family_of(layer) if works else "container",
                parent,
                self.stages[id(layer)],
                ", ".join(filter(None, map(shape_text, layer.input_shapes))),
                ", ".join(filter(None, map(shape_text, layer.output_shapes))),
                tuple((key, _setting_text(value)) for key, value in layer.settings),
                self._steps(layer) if works or own else (),
                tuple(self._value(layer, amount) if works else None for amount in self.amounts),
            )
        )
        here = len(self.found) - 1
        for child in group.children:
            self._add(child, here)

    def _steps(self, layer: Layer) -> tuple[tuple[str, str], ...]:
        if self.symbolic:
            return ()
        derived = derivation_of(layer, self.children[id(layer)], self.coverage)
        return () if derived is None else tuple((s.label, s.text) for s in derived.steps)

    def _value(self, layer: Layer, amount: Amount) -> float | None:
        if amount.key == "measured_seconds":
            return self.seconds.get((layer.name, layer.call), {}).get(amount.phase)
        if amount == SAVED:
            return self.saved.get((layer.name, layer.call), 0)
        if amount in PREDICTED:
            known = 0.0 if self.predicted else None
            return self.predicted.get((layer.name, layer.call, amount.phase), known)
        if not amount.phase:
            value: float = getattr(layer, amount.key)
            return value
        work = layer.forward if amount.phase == "forward" else layer.backward
        return None if work is None else getattr(work, amount.key)


def _setting_text(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _memory(prediction: MemoryPrediction) -> LiveMemory:
    moments = prediction.timeline
    areas = tuple(
        Area(title, tuple(getattr(moment, kind) for moment in moments))
        for kind, title in TENSOR_TITLES.items()
        if any(getattr(moment, kind) for moment in moments)
    )
    starts: dict[str, int] = {}
    for place, moment in enumerate(moments):
        starts.setdefault(moment.phase, place)
    return LiveMemory(
        memory_title(prediction),
        areas,
        tuple(starts.items()),
        tuple(moment.layer for moment in moments),
        beside_tensors(prediction),
    )


def _roofline(profile: Profile) -> Roofline | None:
    """Layers under the roofs, `None` where the roofs or the counts are missing."""
    limits = roofs(profile)
    points = [
        (layer, point)
        for layer, point in layer_points(profile)
        if point.operations and point.moved_bytes
    ]
    if limits is None or not points:
        return None
    dots = tuple(
        Dot(
            call_title(layer.name, layer.kind, layer.call),
            point.phase,
            point.operations / point.moved_bytes,
            point.operations_per_second,
            point.seconds,
            point.bound(limits),
        )
        for layer, point in points
    )
    rates = used_rates(profile, limits)
    return Roofline(
        f"Roofline of {heading(profile)}",
        dots,
        tuple(rates.items()),
        limits.bytes_per_second,
        above_roof(profile),
    )
