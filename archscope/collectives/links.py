"""How long a collective takes on a system of GPUs: two numbers for each kind and size of group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import ceil, log2
from typing import Any, NamedTuple

from archscope.records import Collective


class Line(NamedTuple):
    """Seconds of a collective: a latency, and what a GPU sends over a bandwidth."""

    latency_seconds: float
    bytes_per_second: float


@dataclass(frozen=True)
class Links:
    """What connects the GPUs of a system.

    Args:
        key: short name.
        name: of the GPU that was measured.
        devices: keys of the data sheets that it holds for.
        lines: by collective, then by GPUs in the group; fitted on measurements inside one node.
        median_error: of held-out measurements, as a share.
        most_error: that 90 % of them are within.
        measurements: how many the lines are fitted on.
        gpus_per_node: whose links were measured.
        node_bytes_per_second: of each GPU's own link to other nodes, from the system's description.
        hop_seconds: from node to node, by the same.
        source: of the measurements.
    """

    key: str
    name: str
    devices: tuple[str, ...]
    lines: Mapping[str, Mapping[int, Line]]
    median_error: float
    most_error: float
    measurements: int
    gpus_per_node: int
    node_bytes_per_second: float
    hop_seconds: float
    source: str

    def seconds(self, collective: Collective, on_a_node: int) -> float:
        """Time of one collective.

        Across nodes nothing was measured: the link of each GPU to other nodes bounds what its group
        passes on, and each doubling of the nodes adds a hop (two for an all-reduce).

        Args:
            collective: any but an all-to-all.
            on_a_node: GPUs of its group on each node.
        """
        sizes = self.lines["all_gather" if collective.kind == "broadcast" else collective.kind]
        group = collective.group
        line = sizes[min((n for n in sizes if n >= group), default=max(sizes))]
        latency, rate = line
        nodes = ceil(group / on_a_node)
        if nodes > 1:
            hops = (2 if collective.kind == "all_reduce" else 1) * ceil(log2(nodes))
            latency += hops * self.hop_seconds
            rate = min(rate, on_a_node * self.node_bytes_per_second)
        return latency + collective.sent_bytes / rate


@cache
def systems() -> Mapping[str, Links]:
    """Every system that was measured, by the data sheets of its GPUs."""
    text = resources.files("archscope.collectives").joinpath("links.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    found: dict[str, Links] = {}
    for row in rows:
        lines = {
            kind: {int(gpus): Line(*line) for gpus, line in sizes.items()}
            for kind, sizes in row.pop("lines").items()
        }
        links = Links(**{**row, "devices": tuple(row["devices"]), "lines": lines})
        found |= dict.fromkeys(links.devices, links)
    return found
