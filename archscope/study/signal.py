"""SignalPropagation → a table a network, and plots by depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10
from typing import Any

from archscope.parameters import parameter
from archscope.patterns import matching, unmatched
from archscope.records import NetworkSignal, SignalPoint, SignalPropagation
from archscope.table import Axis, Chart, Column, Report, Row, Series, Table
from archscope.wording import call_title, network_title

CONVENTION = (
    "One forward and backward pass in training mode, at the network's own initialisation "
    "(seed 0). "
    "Variance and squared mean are taken of each channel over batch and positions and averaged "
    "over channels; their sum is the mean square. "
    "Depth counts the convolutions and linear layers executed so far."
)


# What is shown


def signal_report(record: SignalPropagation, pattern: str | None = None) -> Report:
    """The report of `archscope signal`: a table a network, and plots of all by depth.

    Args:
        record: what was measured.
        pattern: glob of layer names or kinds to show; by default the blocks, and outside of them
            the activations and weight layers.

    Raises:
        ArchscopeError: the pattern matches nothing.
    """
    chosen = [(network, shown(network, pattern)) for network in record.networks]
    names = ", ".join(network.model for network in record.networks)
    if pattern is not None and not any(points for _, points in chosen):
        layers = [point.name for network in record.networks for point in network.points]
        raise unmatched(parameter("layers", pattern), pattern, names, layers)
    return Report(
        f"Signal propagation in {names}",
        tuple(_table(network, points) for network, points in chosen),
        signal_charts(record, pattern),
        record=record,
        data=_plain_table(record),
        answer=" ".join(text for network, points in chosen if (text := _answer(network, points))),
    )


STAYS = 2.0
"""A variance that changes by a smaller factor neither grows nor shrinks."""


def _answer(network: NetworkSignal, points: Sequence[SignalPoint]) -> str:
    """How far the variance goes from the first activation or block to the last.

    Where others are shown, weight layers are left out: a classifier's outputs have another size.
    """
    chosen = [point for point in points if point.role != "weight"] or list(points)
    if len(chosen) < 2 or not chosen[0].variance:
        return ""
    first, last = chosen[0], chosen[-1]
    change = last.variance / first.variance
    ends = sorted((first.variance, last.variance))
    far = max(chosen, key=lambda p: max(p.variance / ends[1], ends[0] / (p.variance or TINY)))
    beyond = far.variance > STAYS * ends[1] or far.variance < ends[0] / STAYS
    way = f", with {_plain(far.variance)} at {_place(far)} on the way" if beyond else ""
    what = f"{network_title(network.model, network.keywords)}: the variance of activations"
    if 1 / STAYS <= change <= STAYS:
        how = f"stays within a factor of {STAYS:.0f}"
    else:
        factor = max(change, 1 / (change or TINY))
        times = "more than a million" if factor > MILLION else _plain(factor)
        how = f"{'grows' if change > 1 else 'shrinks'} {times} times"
    return (
        f"{what} {how}, from {_plain(first.variance)} at {_place(first)} to "
        f"{_plain(last.variance)} at {_place(last)}{way}."
    )


MILLION, TINY = 1e6, 1e-300


def _place(point: SignalPoint) -> str:
    return call_title(point.name, point.kind, point.call)


def _plain(value: float) -> str:
    """Three digits and no exponent."""
    if value < 1 / MILLION:
        return "less than 0.000001"
    if value > MILLION:
        return "more than a million"
    digits = max(0, 2 - floor(log10(value)))
    return f"{value:,.{digits}f}"


def shown(network: NetworkSignal, pattern: str | None = None) -> list[SignalPoint]:
    """The points that tell how a network develops with depth."""
    if pattern is not None:
        return [point for point in network.points if matching(pattern, point.name, point.kind)]
    blocks = [f"{point.name}." for point in network.points if point.role == "block"]
    outside = [
        point
        for point in network.points
        if point.role != "other" and not point.name.startswith(tuple(blocks))
    ]
    if any(point.role == "activation" for point in outside):
        outside = [point for point in outside if point.role != "weight" or point is outside[-1]]
    return outside


COLUMNS = (
    Column("depth", "Depth", "exact", 1),
    Column("kind", "Kind", "text", 3),
    Column("mean_square", "Mean square", "decimal"),
    Column("variance", "Variance", "decimal"),
    Column("squared_mean", "Squared mean", "decimal", 1),
    Column("weight_gradient_norm", "‖∂L/∂W‖", "decimal", 1),
    Column("input_gradient_norm", "‖∂L/∂x‖", "decimal", 2),
)


def _cells(point: SignalPoint) -> tuple[Any, ...]:
    return tuple(getattr(point, column.key) for column in COLUMNS)


def _table(network: NetworkSignal, points: Sequence[SignalPoint]) -> Table:
    rows = tuple(
        Row(
            (
                call_title(point.name, point.kind, point.call),
                *_cells(point),
            )
        )
        for point in points
    )
    columns = (Column("name", "Layer", "name"), *COLUMNS)
    return Table(_title(network), columns, rows, (*network.notes, CONVENTION))


def _title(network: NetworkSignal) -> str:
    name = network_title(network.model, network.keywords)
    return f"Signal propagation in {name} on {network.input}"


def _plain_table(record: SignalPropagation) -> Table:
    """Every module call of every network."""
    columns = (
        Column("model", "Network"),
        Column("name", "Layer", "name"),
        Column("call", "Call", "exact"),
        Column("role", "Role"),
        *COLUMNS,
    )
    rows = tuple(
        Row((network.model, point.name, point.call, point.role, *_cells(point)))
        for network in record.networks
        for point in network.points
    )
    return Table("Signal propagation", columns, rows)


def signal_charts(record: SignalPropagation, pattern: str | None = None) -> tuple[Chart, ...]:
    """Mean square, variance, squared mean and gradient norms by depth, one line a network."""

    def main(network: NetworkSignal) -> Sequence[SignalPoint]:
        return shown(network, pattern)

    def weights(network: NetworkSignal) -> Sequence[SignalPoint]:
        if pattern is None:
            return [point for point in network.points if point.role == "weight"]
        chosen = main(network)
        return [point for point in chosen if point.role == "weight"] or chosen

    return (
        _chart(record, "Mean square of activations", "mean_square", main),
        _chart(record, "Channel variance of activations", "variance", main),
        _chart(record, "Squared channel mean of activations", "squared_mean", main),
        _chart(record, "Norm of weight gradients", "weight_gradient_norm", weights),
        _chart(record, "Norm of activation gradients", "input_gradient_norm", main),
    )


def _chart(
    record: SignalPropagation,
    title: str,
    key: str,
    choose: Callable[[NetworkSignal], Sequence[SignalPoint]],
) -> Chart:
    series = tuple(_line(network, key, choose(network)) for network in record.networks)
    depth = Axis("depth: convolutions and linear layers passed", "count")
    if len(record.networks) == 1:
        network = record.networks[0]
        place = f" in {network_title(network.model, network.keywords)} on {network.input}"
    else:
        place = f" in {' and '.join(network.model for network in record.networks)}"
    axis = Axis(title.lower(), "decimal", log=True)
    return Chart(title + place, "line", depth, axis, series, name=key)


def _line(network: NetworkSignal, key: str, points: Sequence[SignalPoint]) -> Series:
    """One point a depth, that of the last layer there: a line over depth has one value at each."""
    at = {point.depth: value for point in points if (value := getattr(point, key))}
    return Series(network.model, tuple(at), tuple(at.values()))
