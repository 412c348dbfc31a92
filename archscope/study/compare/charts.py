"""Charts of a comparison: cost by where or what it is, and published accuracy against cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from archscope.study.compare.tables import recipes
from archscope.study.profile.headings import ERRORS, interval, measured_where
from archscope.table import Axis, Chart, Series

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender
    from archscope.study.compare.places import Divided


AXES = {
    "output stride": Axis("Output stride (side of the input ÷ side of the output)", "text"),
    "kind of work": Axis("Kind of work", "text"),
}

NAMED = 3
"""Networks that a title names."""

LOG_FROM = 8
"""From this ratio of the largest to the smallest cost on, the axis of costs is logarithmic."""


def charts(chosen: Sequence[Contender], quantities: Sequence[Divided]) -> tuple[Chart, ...]:
    """Bars of each quantity by where or what it is; accuracy against each cost."""
    bars = [_bars(chosen, quantity) for quantity in quantities]
    times = [chart for chart in (time_chart(chosen),) if chart is not None]
    return (*times, *bars, *accuracy_charts(chosen))


def many_charts(chosen: Sequence[Contender]) -> tuple[Chart, ...]:
    """Parameters against MACs, and accuracy against each cost, a named point a network."""
    sizes = [(c.analysis.total.macs, c.analysis.total.params, c.label) for c in chosen]
    known = [size for size in sizes if size[0] > 0 and size[1] > 0]
    if len(known) < 2:
        return accuracy_charts(chosen)
    macs, params, _ = zip(*known, strict=True)

    def along(axis: Axis, values: Sequence[float]) -> Axis:
        return replace(axis, log=max(values) / min(values) >= LOG_FROM)

    costs = Chart(
        f"Parameters and MACs of {_names(chosen)}",
        "scatter",
        along(Axis("MACs forward", "macs"), macs),
        along(Axis("Parameters", "count"), params),
        _clouds(chosen, known),
        name="macs_parameters",
    )
    return (*accuracy_charts(chosen), costs)


def _names(chosen: Sequence[Contender]) -> str:
    """Their names, of many how many there are: the legend has them."""
    if len(chosen) > NAMED:
        return f"{len(chosen)} networks"
    *others, last = (contender.label for contender in chosen)
    return f"{', '.join(others)} and {last}" if others else last


WHOLE = ("inference", "forward", "backward", "step")
"""Phases whose medians stand in one chart."""


def time_chart(chosen: Sequence[Contender]) -> Chart | None:
    """Medians of the phases that were timed whole, with their intervals; `None` without any."""
    timed = [(c.label, c.profile) for c in chosen if c.profile is not None]
    phases = tuple(phase for phase in WHOLE if all(phase in p.phases for _, p in timed))
    if len(timed) < 2 or not phases:
        return None
    series = tuple(
        Series(
            label,
            phases,
            tuple(profile.phases[phase].median for phase in phases),
            errors=tuple(interval(profile.phases[phase]) for phase in phases),
        )
        for label, profile in timed
    )
    return Chart(
        f"Time of {_names(chosen)}, {measured_where(profile for _, profile in timed)}",
        "bars",
        Axis("", "text"),
        Axis("Median", "seconds"),
        series,
        notes=(ERRORS,),
        name="time",
    )


def _bars(chosen: Sequence[Contender], quantity: Divided) -> Chart:
    labels = quantity.labels
    series = tuple(
        Series(contender.label, tuple(labels), tuple(each.get(label, 0.0) for label in labels))
        for contender, each in zip(chosen, quantity.values, strict=True)
        if each
    )
    heights = Axis(quantity.title, quantity.unit)
    title = f"{quantity.title} of {_names(chosen)} by {quantity.by}"
    if quantity.phase:
        title += f", {measured_where(c.profile for c in chosen if c.profile is not None)}"
    name = f"{quantity.phase}_by_stride" if quantity.phase else quantity.title.lower()
    if quantity.by == "kind of work":
        name += "_by_kind"
    return Chart(title, "bars", AXES[quantity.by], heights, series, name=name)


def accuracy_charts(chosen: Sequence[Contender]) -> tuple[Chart, ...]:
    """Published top-1 against MACs, parameters and measured latency, each with its Pareto front.

    A chart needs two models of which both figures are known.
    """
    costs: list[tuple[str, Axis, Callable[[Contender], float | None]]] = [
        ("MACs", Axis("MACs forward", "macs"), lambda c: c.analysis.total.macs),
        ("parameters", Axis("Parameters", "count"), lambda c: c.analysis.total.params),
        ("measured latency", Axis("Inference latency", "seconds"), _latency),
    ]
    made = [_scatter(chosen, name, axis, read) for name, axis, read in costs]
    return tuple(chart for chart in made if chart is not None)


def _latency(contender: Contender) -> float | None:
    measurement = contender.measured("inference")
    return None if measurement is None else measurement.median


def _scatter(
    chosen: Sequence[Contender], name: str, axis: Axis, read: Callable[[Contender], float | None]
) -> Chart | None:
    points = [
        (cost, contender.top1, contender.label)
        for contender in chosen
        if contender.top1 is not None and (cost := read(contender)) is not None
    ]
    if len(points) < 2:
        return None
    costs = [cost for cost, _, _ in points]
    wide = min(costs) > 0 and max(costs) / min(costs) >= LOG_FROM
    return Chart(
        f"Published ImageNet top-1 of {_names(chosen)} against {name}",
        "scatter",
        replace(axis, log=wide),
        Axis("ImageNet top-1", "percent"),
        _clouds(chosen, points),
        frontier=pareto_front(points) if len(points) > 2 else (),
        name=f"accuracy_{name.lower().replace(' ', '_')}",
        notes=(recipes(chosen),),
    )


COLORED = 4
"""Networks that have a colour each, the same as in the bars."""


def _clouds(
    chosen: Sequence[Contender], points: Sequence[tuple[float, float, str]]
) -> tuple[Series, ...]:
    """Points as a series a network, in the order that gives each its colour, or as one of all."""
    if len(chosen) > COLORED:
        costs, gains, names = zip(*points, strict=True)
        return (Series("networks", costs, gains, names),)
    own = {name: (cost, gain) for cost, gain, name in points}
    return tuple(
        Series(c.label, own[c.label][:1], own[c.label][1:], (c.label,))
        if c.label in own
        else Series(c.label, (), ())
        for c in chosen
    )


def pareto_front(points: Sequence[tuple[float, float, str]]) -> tuple[str, ...]:
    """Names of the points (cost, gain, name) that no other one beats in both, cheapest first.

    Two points, or a single one that beats all others, make no front.
    """
    front: list[str] = []
    best = float("-inf")
    for _, gain, name in sorted(points, key=lambda point: (point[0], -point[1])):
        if gain > best:
            front.append(name)
            best = gain
    return tuple(front) if len(points) > 2 and len(front) > 1 else ()
