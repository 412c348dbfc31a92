"""Signal and gradient through plain, residual and dense networks at initialisation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from archscope.records import NetworkSignal, SignalPoint, SignalPropagation
from archscope.study.signal import CONVENTION, signal_charts
from archscope.table import Column, Row, Table
from reports.data import Data
from reports.page import Figure, Page

NORMALISED = "signal-normalised"
BARE = "signal-bare"
"""The saved runs: with batch normalisation, and without any."""

COLUMNS = (
    Column("network", "Network", "name"),
    Column("blocks", "Blocks", "exact"),
    Column("mean_square_first", "Mean square, first block", "decimal"),
    Column("mean_square_last", "last block", "decimal"),
    Column("gradient_first", "‖∂L/∂x‖, second block", "decimal"),
    Column("gradient_last", "last block", "decimal"),
)


def page(data: Data) -> Page:
    """What do a shortcut and a concatenation do to signal and gradient?"""
    normalised, bare = data.signal(NORMALISED), data.signal(BARE)
    return Page(
        slug="signal-propagation",
        title="Signal propagation: plain, residual and dense",
        summary="activations and gradients by depth at initialisation, with and without "
        "normalisation.",
        question="A network can only be trained where signal and gradient get through.\n"
        "How do their sizes change with depth in a plain stack, with shortcuts that add, and with "
        "connections that concatenate?",
        blocks=(
            _table("With batch normalisation", normalised),
            Figure("signal-normalised", "Statistics by depth with batch normalisation",
                   signal_charts(normalised)),
            _table("Without normalisation", bare),
            Figure("signal-bare", "Statistics by depth without normalisation",
                   signal_charts(bare)),
        ),
        findings=tuple(_findings(normalised, bare)),
        commands=(
            "archscope signal plain34 resnet34 densenet121 --batch 4",
            "archscope signal plain34 resnet34_a --set norm_layer=none --batch 4",
        ),
    )  # fmt: skip


def _blocks(network: NetworkSignal) -> list[SignalPoint]:
    return [point for point in network.points if point.role == "block"]


def _table(title: str, record: SignalPropagation) -> Table:
    rows = []
    for network in record.networks:
        blocks = _blocks(network)
        first, second, last = blocks[0], blocks[1], blocks[-1]
        cells = (
            network.model, len(blocks), first.mean_square, last.mean_square,
            second.input_gradient_norm, last.input_gradient_norm,
        )  # fmt: skip
        rows.append(Row(cells))
    said = dict.fromkeys(note for network in record.networks for note in network.notes)
    return Table(title, COLUMNS, tuple(rows), (*said, CONVENTION))


def _by_name(record: SignalPropagation, name: str) -> list[SignalPoint]:
    return _blocks(next(network for network in record.networks if network.model == name))


def _growth(points: Sequence[SignalPoint], key: str) -> float:
    """Factor a block, the geometric mean from the first of these to the last."""
    first, last = getattr(points[0], key), getattr(points[-1], key)
    rate: float = (last / first) ** (1 / (len(points) - 1))
    return rate


def _findings(normalised: SignalPropagation, bare: SignalPropagation) -> Iterator[str]:
    plain, residual = _by_name(normalised, "plain34"), _by_name(normalised, "resnet34")
    # Towards the input, and from the second block on: the first is behind no other.
    stack, shortcuts = (
        1 / _growth(points[1:], "input_gradient_norm") for points in (plain, residual)
    )
    yield (
        f"With batch normalisation the gradient of a plain stack of {len(plain)} blocks grows by "
        f"{stack:.2f} a block on its way back, with shortcuts "
        f"by {shortcuts:.2f}; without it, shortcuts double the "
        f"activations in every block."
    )
    squares = [point.mean_square for point in plain]
    yield (
        f"Batch normalisation holds the activations of the plain network between "
        f"{min(squares):.3f} and {max(squares):.3f} in mean square, but its gradient grows "
        f"by {stack:.2f} a block on its way back: "
        f"{plain[1].input_gradient_norm or 0:.3g} at the second block after "
        f"{plain[-1].input_gradient_norm or 0:.3g} at the last."
    )
    stage = [point for point in residual if point.name.startswith("layer3.")]
    steps = [b.variance - a.variance for a, b in itertools.pairwise(stage)]
    yield (
        f"With shortcuts the gradient grows by only "
        f"{shortcuts:.2f} a block.\n"
        f"The variance starts again in each stage and then rises by a constant step: in "
        f"ResNet-34's third stage from {stage[0].variance:.2f} to {stage[-1].variance:.2f}, by "
        f"{min(steps):.2f} to {max(steps):.2f} a block (De and Smith 2020)."
    )
    dense = _by_name(normalised, "densenet121")
    layers = [point.mean_square for point in dense]
    yield (
        f"The dense layers of DenseNet-121 add features whose mean square stays between "
        f"{min(layers):.2f} and {max(layers):.2f} through all {len(layers)} of them: "
        f"concatenation does not add up what it keeps."
    )
    plain, residual = _by_name(bare, "plain34"), _by_name(bare, "resnet34_a")
    yield (
        f"Without normalisation, at He's initialisation, the plain network's mean square goes from "
        f"{plain[0].mean_square:.3g} at the first block to {plain[-1].mean_square:.3g} at the last "
        f"({_growth(plain, 'mean_square'):.2f} a block), and shortcuts multiply it by "
        f"{_growth(residual, 'mean_square'):.2f} a block, close to the 2 that two equal and "
        f"independent summands give: {residual[-1].mean_square:,.0f} after {len(residual)} blocks."
    )
