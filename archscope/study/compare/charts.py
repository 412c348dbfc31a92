"""Charts of a comparison: cost by output stride, and published accuracy against cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from archscope.study.profile.layers import measured_where
from archscope.study.stages import in_order
from archscope.table import Axis, Chart, Series

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender
    from archscope.study.compare.tables import ByStride


STRIDE_AXIS = Axis("Output stride (side of the input ÷ side of the output)", "text")

LOG_FROM = 8
"""From this ratio of the largest to the smallest cost on, the axis of costs is logarithmic."""


def charts(chosen: Sequence[Contender], quantities: Sequence[ByStride]) -> tuple[Chart, ...]:
    """Bars of each quantity by stride; accuracy against each cost."""
    return (*(_bars(chosen, quantity) for quantity in quantities), *accuracy_charts(chosen))


def _bars(chosen: Sequence[Contender], quantity: ByStride) -> Chart:
    labels = in_order(label for each in quantity.values for label in each)
    series = tuple(
        Series(contender.label, tuple(labels), tuple(each.get(label, 0.0) for label in labels))
        for contender, each in zip(chosen, quantity.values, strict=True)
        if each
    )
    heights = Axis(quantity.title, quantity.unit)
    title = f"{quantity.title} by output stride"
    if quantity.phase:
        title += f", {measured_where(c.profile for c in chosen if c.profile is not None)}"
    return Chart(title, "bars", STRIDE_AXIS, heights, series)


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
    costs, accuracies, names = zip(*points, strict=True)
    wide = min(costs) > 0 and max(costs) / min(costs) >= LOG_FROM
    return Chart(
        f"Published ImageNet top-1 against {name}",
        "scatter",
        replace(axis, log=wide),
        Axis("ImageNet top-1", "percent"),
        (Series("networks", tuple(costs), tuple(accuracies), tuple(names)),),
        frontier=pareto_front(points),
        notes=("Accuracy from the metadata of torchvision's weights.",),
    )


def pareto_front(points: Sequence[tuple[float, float, str]]) -> tuple[str, ...]:
    """Names of the points (cost, gain, name) that no other one beats in both, cheapest first.

    A single such point makes no line, so there is none to draw.
    """
    front: list[str] = []
    best = float("-inf")
    for _, gain, name in sorted(points, key=lambda point: (point[0], -point[1])):
        if gain > best:
            front.append(name)
            best = gain
    return tuple(front) if len(front) > 1 else ()
