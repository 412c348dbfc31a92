"""Counts as node data of Google's Model Explorer, which colours a graph by them.

Its graph of a PyTorch network is what `torch.export` writes (a `.pt2` file); the format is that of
`node_data_builder.py` in github.com/google-ai-edge/model-explorer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from archscope.ask.exported import ExportedCount, exported_count
from archscope.ask.target import Target, network_target
from archscope.quantities import ACTIVATIONS, BYTES_MOVED, ELEMENTWISE, MACS, PARAMS, Quantity
from archscope.saved.record import Saved

SUFFIX = ".modelexplorer.json"

CHOSEN = {
    "": MACS,
    ".macs": MACS,
    ".params": PARAMS,
    ".elementwise": ELEMENTWISE,
    ".activations": ACTIVATIONS,
    ".bytes": BYTES_MOVED,
}
"""What each node gets, by the word before the suffix: a file holds one value a node."""

GRADIENT = (
    {"stop": 0, "bgColor": "#ffffff", "textColor": "#000000"},
    {"stop": 1, "bgColor": "#e69f00", "textColor": "#000000"},
)
"""From the least value to the largest."""


def node_data(target: Target | Saved) -> dict[str, Callable[[], dict[str, Any]]]:
    """What makes the content of each file, by its suffix.

    Args:
        target: what was counted; a record's network is built by its name.
    """

    def made(quantity: Quantity) -> dict[str, Any]:
        network = network_target(target) if isinstance(target, Saved) else target
        values = _values(exported_count(network), quantity)
        results = {name: {"value": value} for name, value in values.items()}
        return {"results": results, "gradient": list(GRADIENT)}

    return {word + SUFFIX: partial(made, quantity) for word, quantity in CHOSEN.items()}


def _values(count: ExportedCount, quantity: Quantity) -> Mapping[str, float]:
    """Of each node; parameters are nodes of their own."""
    if quantity is PARAMS:
        return count.sizes
    return {name: quantity.of([layer]) for name, layer in count.nodes.items()}
